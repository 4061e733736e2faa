"""The asr stage."""

from dataclasses import dataclass, field
from typing import cast

import pytest

from services.asr.service import AsrState, Settings, create
from shared.bus import Context
from shared.context import Record
from shared.messages import AudioChunk, Gap, Words

SERVICE = create(Settings(engine="scripted"))


@dataclass
class Turn:
    """The part of a turn's context that asr looks at."""

    backlog: float = 0.0
    stream: str = "s"
    record: Record = field(default_factory=lambda: Record(live=True))


def chunk(start: float) -> AudioChunk:
    return AudioChunk(stream="s", until=start + 1, start=start, end=start + 1, captured_at=0)


async def test_the_script_is_heard() -> None:
    state, said = AsrState(), []
    for start in range(10, 14):
        said += [one async for one in SERVICE.handle(chunk(start), state, cast("Context", Turn()))]
    words = [word.text for one in said if isinstance(one, Words) for word in one.words]
    assert words == ["good", "evening", "and", "welcome", "to", "the", "news"]


@pytest.mark.parametrize(("live", "skipped"), [(True, [True, True, False]), (False, [False, False, False])])
async def test_only_a_live_stream_that_is_far_behind_skips(live: bool, skipped: list[bool]) -> None:
    state, found = AsrState(), []
    for start, backlog in ((10, 11.0), (11, 5.0), (12, 1.0)):
        turn = Turn(backlog, record=Record(live=live))
        said = [one async for one in SERVICE.handle(chunk(start), state, cast("Context", turn))]
        found.append(any(isinstance(one, Gap) for one in said))
    assert found == skipped
