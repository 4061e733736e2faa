"""The mesh: every stage in the order a sentence travels, with its types and its lane."""

from shared.bus import Mesh, Step
from shared.messages import (
    AudioChunk,
    Clip,
    Dropped,
    Faces,
    Gap,
    Head,
    MediaSegment,
    Sealed,
    Speech,
    StreamStarted,
    StreamStopped,
    Translation,
    Utterance,
    Words,
)

MESH = Mesh(
    Step("ingest", produces=(StreamStarted, StreamStopped)),
    Step("downloader", consumes=(StreamStarted, StreamStopped), produces=(AudioChunk, MediaSegment, Head, Gap)),
    Step("asr", consumes=(AudioChunk, Gap), produces=(Words, Gap)),
    Step("segmenter", consumes=(Words, Gap), produces=(Utterance,)),
    Step("speaker", consumes=(Utterance,), produces=(Utterance,)),
    Step("faces", consumes=(MediaSegment, Utterance), produces=(Faces,), wanted="faces"),
    Step("translator", consumes=(Utterance,), produces=(Translation,)),
    Step("voice", consumes=(Translation,), produces=(Speech,), by_language=True),
    Step("place", consumes=(Speech, MediaSegment, Head), produces=(Clip, Dropped), by_language=True),
    Step("sender", consumes=(MediaSegment, Head, Clip, Dropped, Utterance, Translation, Faces), produces=(Sealed,)),
)

SERVICES = ("ingest", "downloader", "asr", "segmenter", "speaker", "faces", "translator", "tts", "sender", "dashboard")
"""Folders of this package that hold a service."""
TIMELY = ("ingest", "downloader", "sender")
"""Services on which the delay itself depends: on a machine that is short of time the others yield to them."""
