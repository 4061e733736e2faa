"""Streams as callers see them, and as viewers do."""

from typing import Any

from services.ingest.bodies import Links, Named, StreamView, ViewerView
from shared.context import Record


def owned(record: Record) -> StreamView:
    """Returns a stream as its owner sees it."""
    return StreamView.model_validate(
        {
            **_facts(record),
            "speakers": record.casting,
            "ended_at": record.ended_at or None,
            "links": links(record.stream),
        }
    )


def watched(record: Record) -> ViewerView:
    """Returns a stream as viewers see it."""
    named = {speaker: Named(name=casting.name) for speaker, casting in record.casting.items() if casting.name}
    return ViewerView.model_validate(_facts(record) | {"speakers": named})


def behind_live(record: Record) -> float:
    """Returns the seconds that a viewer is behind the live head: the delay and a player's buffer of three segments."""
    return record.delay + 3 * record.segment


def _facts(record: Record) -> dict[str, Any]:
    # A view takes the fields that it has, and no other.
    return {**dict(record), "id": record.stream, "behind_live": behind_live(record)}


def links(stream: str) -> Links:
    """Returns where a stream is seen, heard and followed."""
    return Links(
        playlist=f"/hls/{stream}/master.m3u8",
        watch=f"/watch/{stream}",
        dashboard=f"/dashboard?stream={stream}",
        events=f"/v1/streams/{stream}/events",
        transcript=f"/v1/streams/{stream}/transcript",
    )
