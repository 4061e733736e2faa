"""The sound of a speaker, for an engine that imitates: gathered from the PCM ring as the speaker talks."""

from pydantic import BaseModel, ConfigDict

LONGEST = 12.0
"""Seconds of a speaker that are kept; more makes no better imitation."""
SHORTEST = 2.0
"""Seconds below which nobody can be imitated."""


class Sample(BaseModel):
    """What was heard of a speaker so far."""

    model_config = ConfigDict(frozen=True)

    sound: str = ""
    """Key of 16 kHz mono s16."""
    seconds: float = 0.0

    @property
    def complete(self) -> bool:
        """Whether more would not be kept."""
        return self.seconds >= LONGEST

    @property
    def enough(self) -> bool:
        """Whether it can be imitated."""
        return self.seconds >= SHORTEST
