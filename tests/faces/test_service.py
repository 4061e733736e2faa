from pathlib import Path
from typing import Any, cast

import pytest

from loadtest.persons import LEFT, RIGHT, Look, Scene, film, scene
from services import MESH
from services.faces import engines
from services.faces.engines import Engine
from services.faces.service import FacesState, Looks, Settings, create
from shared.bus import Context, Service
from shared.context import Record
from shared.messages import End, Face, Faces, MediaSegment, Message, Progress, Track, Utterance, Warned
from shared.store import open_store

STREAM = "s1"
SIDES = ("left", "top", "width", "height")


@pytest.fixture(autouse=True)
def _empty_store() -> None:
    open_store.cache_clear()


class Stage:
    """The handlers, with state that goes through JSON between two messages."""

    def __init__(self, engine: Engine | None = None, **settings: Any) -> None:
        self.service: Service = create(Settings(**settings), lambda name, models: engine or engines.load(name, models))
        self.state = self.service.new_state()
        self.context = cast(Context, type("FakeContext", (), {"record": Record(stream=STREAM), "backlog": 0.0})())

    async def say(self, message: Message) -> list[Any]:
        made = [each async for each in self.service.handle(message, self.state, self.context)]
        self.state = FacesState.model_validate_json(self.state.model_dump_json())
        return made


async def segment(body: bytes, start: float, key: str = "v-1") -> MediaSegment:
    await open_store("memory://").put(f"{STREAM}/{key}", body)
    await open_store("memory://").put(f"{STREAM}/init", b"")
    track = Track(codec="avc1", init=f"{STREAM}/init", media=f"{STREAM}/{key}", timescale=90_000)
    return MediaSegment(
        stream=STREAM, until=start, start=round(start * 90_000), duration=180_000,
        video=track, audio=None, date=0, captured_at=0,
    )  # fmt: skip


def utterance(number: int, speaker: int | None, start: float, end: float) -> Utterance:
    return Utterance(
        stream=STREAM, until=end, utterance=str(number), start=start, end=end, text="-", words=(), spoken="en",
        speaker=speaker,
    )  # fmt: skip


async def test_each_phrase_of_a_dialogue_goes_to_the_face_whose_mouth_moves(
    engine: Engine, dialogue: bytes, play: Scene
) -> None:
    stage = Stage(engine)
    told = await stage.say(await segment(dialogue, 0.0))
    seen = next(message.faces for message in told if len(message.faces) == 2)
    left, right = sorted(seen, key=lambda face: face.left)
    assert left.left + left.width < 0.5 < right.left
    right_ones = 0
    for number, line in enumerate(play.lines):
        (answer,) = await stage.say(utterance(number, line.speaker + 1, line.start, line.end))
        assert answer.utterance == str(number)
        expected = (left, right)[line.speaker].person
        right_ones += [face.person for face in answer.faces] == [expected]
    assert right_ones / len(play.lines) >= 0.95
    assert len(stage.state.model_dump_json()) < 20_000
    looks = stage.state.ledger.looks  # type: ignore[attr-defined]
    assert len(told) < 0.7 * len(looks), "what does not change is not told again at once"
    assert all(set(face.model_dump()) == {"person", *SIDES} for each in told for face in each.faces)


async def test_a_voice_with_only_a_poster_on_the_picture_belongs_to_nobody(engine: Engine, tmp_path: Path) -> None:
    play = scene([("slt", "This is said by somebody whom nobody can see at all.")])
    film(tmp_path / "poster.mp4", play, [LEFT], (640, 360))
    stage = Stage(engine)
    told = await stage.say(await segment((tmp_path / "poster.mp4").read_bytes(), 0.0))
    assert told[0].faces
    line = play.lines[0]
    (answer,) = await stage.say(utterance(1, 1, line.start, line.end))
    assert answer.faces == ()


async def test_ten_faces_at_once_are_ten_people(engine: Engine, tmp_path: Path) -> None:
    crowd = [
        Look((90.0 + 15 * n, 80.0 + 12 * n, 70.0 + 10 * n), (20.0, 20.0, 20.0), (150.0, 60.0, 60.0)) for n in range(10)
    ]
    play = scene([("rms", "Hello.")])
    film(tmp_path / "crowd.mp4", play, crowd, (2500, 360))
    looks = Looks(engine, FacesState(), 2000)
    told = list(looks.at(b"", (tmp_path / "crowd.mp4").read_bytes(), 0.0))
    most = max((faces for _, faces in told), key=len)
    assert len({face.person for face in most}) == len(most) == 10


async def test_vertical_video_has_its_faces_inside_the_picture(engine: Engine, tmp_path: Path) -> None:
    film(tmp_path / "tall.mp4", scene([("slt", "Hello there.")]), [RIGHT], (360, 640))
    told = list(Looks(engine, FacesState(), 640).at(b"", (tmp_path / "tall.mp4").read_bytes(), 0.0))
    face: Face = told[0][1][0]
    assert 0.2 < face.left < face.left + face.width < 0.8
    assert 0.3 < face.top < face.top + face.height < 0.7


async def test_a_segment_without_a_picture_or_that_is_gone_or_broken_shows_nobody(engine: Engine) -> None:
    stage = Stage(engine)
    good = await segment(b"no film", 0.0)
    assert good.video
    assert await stage.say(good.model_copy(update={"video": None})) == []
    assert await stage.say(good) == []
    gone = good.video.model_copy(update={"media": f"{STREAM}/gone"})
    assert await stage.say(good.model_copy(update={"video": gone})) == []
    (answer,) = await stage.say(utterance(1, None, 0.0, 2.0))
    assert answer == Faces(stream=STREAM, until=2.0, start=0.0, utterance="1")


async def test_without_weights_the_stream_goes_on_and_is_told_why_once(tmp_path: Path) -> None:
    stage = Stage(models=tmp_path)
    said = [*await stage.say(await segment(b"", 0.0)), *await stage.say(await segment(b"", 2.0, "v-2"))]
    assert [type(each) for each in said] == [Warned]
    assert "pip download" in said[0].warning


async def test_it_never_speaks_for_the_sender_about_time() -> None:
    stage = Stage()
    assert await stage.say(Progress(stream=STREAM, until=3.0)) == []
    assert await stage.say(End(stream=STREAM, until=3.0)) == []


async def test_a_stream_that_does_not_ask_for_faces_has_no_turn_of_them() -> None:
    picture, said = await segment(b"", 0.0), utterance(1, 1, 0.0, 1.0)
    for sender, message in (
        ("downloader", picture),
        ("speaker", said),
        ("speaker", Progress(stream=STREAM, until=1.0)),
    ):
        for faces in (False, True):
            letter = MESH.address(sender, message, Record(stream=STREAM, languages=("es",), faces=faces))
            assert ("faces" in {stage for stage, _ in letter.receivers}) is faces
