"""Laws are tried without a deadline: machines that run tests are busy."""

from hypothesis import settings

settings.register_profile("unhurried", deadline=None, max_examples=50)
settings.load_profile("unhurried")
