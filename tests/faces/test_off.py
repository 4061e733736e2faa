"""Faces cost nothing where nobody asks for them: the whole mesh on one film, with and without."""

import asyncio
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import av
import pytest

from loadtest.broadcast import tone
from loadtest.card import PROGRAMME
from loadtest.coding import transport_stream
from loadtest.virtual import VirtualMesh
from services.asr import service as asr
from services.downloader import service as downloader
from services.faces import pictures
from services.faces import service as faces
from services.faces.engines import Box, Colour, Found, Grey, Vector
from services.segmenter import service as segmenter
from services.sender import service as sender
from services.speaker import service as speaker
from services.translator import service as translator
from services.tts import service as tts
from shared.bus import Service
from shared.context import Record
from shared.messages import Faces
from shared.store import open_store


class Nobody:
    """An engine that sees no face anywhere."""

    same = 0.5

    def find(self, picture: Grey) -> list[Found]:
        return []

    def embed(self, picture: Colour, box: Box) -> Vector:
        raise AssertionError


class Counting(VirtualMesh):
    """Counts the turns of each stage."""

    def __init__(self, services: Sequence[Service], record: Record) -> None:
        super().__init__(services, record)
        self.turns: Counter[str] = Counter()

    async def _turn(self, stage: str, *rest: object) -> None:
        self.turns[stage] += 1
        await super()._turn(stage, *rest)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("film") / "film.ts"
    path.write_bytes(b"".join(transport_stream(PROGRAMME, tone(4.0), number) for number in range(2)))
    return path


@pytest.mark.parametrize("wanted", [False, True])
async def test_a_stream_without_faces_makes_no_turn_no_message_and_decodes_no_picture(
    wanted: bool, film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded, frames = list[bytes](), pictures._frames

    def decode(body: bytes) -> Iterator[av.VideoFrame]:
        decoded.append(body)
        return frames(body)

    monkeypatch.setattr(pictures, "_frames", decode)
    open_store.cache_clear()
    store = f"file://{tmp_path}/store"
    services = [
        downloader.create(downloader.Settings(store=store, files=str(film.parent))),
        asr.create(asr.Settings(engine="scripted")),
        segmenter.create(),
        speaker.create(speaker.Settings(engine="scripted")),
        faces.create(faces.Settings(store=store), lambda name, models: Nobody()),
        translator.create(translator.Settings(engine="scripted")),
        *tts.create(tts.Settings(engine="scripted", store=store)),
        sender.create(sender.Settings(store=store)),
    ]
    record = Record(stream="film", url=f"file:{film.name}", languages=("es",), faces=wanted)
    mesh = Counting(services, record)
    async with asyncio.timeout(60):
        await mesh.start()
        await mesh.play("downloader")
        await mesh.stop()
    assert mesh.record.state == "ended"
    assert mesh.turns["sender"] > 4
    assert bool(mesh.turns["faces"]) is wanted
    assert bool(decoded) is wanted
    assert bool(mesh.told("faces", Faces)) is wanted
    assert all(("faces" in row.objects) is wanted for row in mesh.rows)
    # What is told of faces can be read without Redis when the stream is over.
    assert (tmp_path / "store/film/faces.m3u8").is_file() is wanted
