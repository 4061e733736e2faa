"""What may go wrong in a turn."""


class EngineError(Exception):
    """An engine failed: `retryable` on a time-out or a full queue, not on input it will never accept."""

    def __init__(self, reason: str, *, retryable: bool) -> None:
        super().__init__(reason)
        self.retryable = retryable


class Fenced(Exception):
    """The turn belongs to somebody else now; nothing has been written."""


class Misfit(Exception):
    """This process and the mesh that already runs do not agree on something that must be equal."""
