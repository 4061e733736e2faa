"""What can be wrong with a clip."""


class Trouble(Exception):
    """The clip cannot be dubbed; the text says why, and what to do."""
