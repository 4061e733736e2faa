"""Pictures and utterances in, faces out: who is on the picture, and who of them speaks.

Faces are biometric data. An embedding never leaves the state of its stream: it is no message, goes to no store and no
log, and is deleted with the stream.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from pydantic import PrivateAttr
from pydantic_settings import BaseSettings, SettingsConfigDict

from services.faces import engines
from services.faces.engines import Box, Engine, Grey, Unavailable, Vector
from services.faces.gallery import Gallery
from services.faces.ledger import Ledger, Look
from services.faces.mouth import movement
from services.faces.pictures import Picture, pictures
from shared.audio import seconds
from shared.bus import Context, Limits, Service, State
from shared.messages import End, Face, Faces, MediaSegment, Progress, Utterance, Warned
from shared.store import Missing, open_store

CUT = 28.0
"""Mean difference of two pictures, of 255, at which the scene has changed."""
STILL = 0.02
"""Shares of the picture that a face may move before it is told again."""
AGAIN = 2.0
"""Seconds after which it is told in any case."""
BEHIND = 15.0
"""Media seconds of backlog at which a live stream's pictures are passed over."""


class Settings(BaseSettings):
    """Of faces, which only streams with `faces: true` have."""

    model_config = SettingsConfigDict(env_prefix="FACES_", use_attribute_docstrings=True)

    store: str = "memory://"
    """Where objects live: memory://, file:///folder, s3://bucket/prefix."""
    engine: str = "hog"
    """What finds and embeds faces: hog (dlib) or yunet (OpenCV). Embeddings are biometric data: they live in the
    stream's state, die with it, and are neither stored elsewhere nor logged."""
    models: Path = Path("models")
    """Folder with the engine's weights."""
    longer: int = 640
    """Pixels of the longer side on which faces are looked for; smaller faces are found on more, at a higher price."""
    slots: int = 1
    """Streams whose turns run at once in this replica."""


class FacesState(State):
    """What is known of the people of one stream; it dies with the stream."""

    gallery: Gallery = Gallery()
    ledger: Ledger = Ledger()
    due: float = 0.0
    """Media time of the next picture to look at."""
    told: tuple[float, tuple[Face, ...]] = (0.0, ())
    """What was said last, and when."""
    blind: bool = False
    """The engine cannot run here; it has been told."""
    _scene: Grey | None = PrivateAttr(default=None)


def create(settings: Settings | None = None, load: Callable[[str, Path], Engine] = engines.load) -> Service:
    """Build the service; the engine is loaded with the first stream that wants it."""
    settings = settings or Settings()
    # A service that few streams ask for says less often that it is alive, and nobody waits for its turns.
    service = Service("faces", Limits(slots=settings.slots, idle_ms=6000))
    store, loaded, loading = open_store(settings.store), list[Engine](), asyncio.Lock()

    async def engine() -> Engine:
        async with loading:
            if not loaded:
                loaded.append(await asyncio.to_thread(load, settings.engine, settings.models))
        return loaded[0]

    @service.on(MediaSegment, state=FacesState)
    async def look(message: MediaSegment, state: FacesState, context: Context) -> AsyncIterator[Faces | Warned]:
        if message.video is None or state.blind or (context.record.live and context.backlog > BEHIND):
            return
        try:
            eyes = await engine()
        except Unavailable as error:
            state.blind = True
            yield Warned(stream=message.stream, until=message.until, warning=f"no faces: {error}")
            return
        try:
            init, media = await asyncio.gather(store.get(message.video.init), store.get(message.video.media))
        except Missing:
            return
        looks = Looks(eyes, state, settings.longer)
        start = max(state.due, seconds(message.start))
        for time, faces in await asyncio.to_thread(lambda: list(looks.at(init, media, start))):
            yield Faces(stream=message.stream, until=message.until, start=time, faces=faces)

    @service.on(Utterance, state=FacesState)
    async def assign(message: Utterance, state: FacesState) -> AsyncIterator[Faces]:
        who = state.ledger.speaks(message.speaker, message.start, message.end)
        last = next((f for f in state.told[1] if f.person == who), None)
        face = () if who is None else (last or Face(person=who, left=0, top=0, width=0, height=0),)
        yield Faces(
            stream=message.stream, until=message.until, start=message.start, faces=face, utterance=message.utterance
        )

    @service.on(Progress, state=FacesState)
    @service.on(End, state=FacesState)
    async def pass_over(message: Progress | End) -> AsyncIterator[Faces]:
        # The sender waits for nobody's faces: neither progress nor an end of theirs says anything to it.
        return
        yield

    return service


class Looks:
    """Looks at the pictures of one segment: CPU work."""

    def __init__(self, engine: Engine, state: FacesState, longer: int) -> None:
        self.engine, self.state, self.longer = engine, state, longer

    def at(self, init: bytes, media: bytes, start: float) -> Iterator[tuple[float, tuple[Face, ...]]]:
        """Who is on the picture, whenever that changes: media time and faces."""
        state = self.state
        for picture in pictures(init, media, start, self.longer):
            state.due = picture.time + 0.499
            self._scene(picture.grey)
            found = self.engine.find(picture.grey)
            faces = tuple(state.gallery.see(picture.time, found, partial(self._embed, picture), self.engine.same))
            moved = {face.person: self._moved(face, picture.grey, picture.behind) for face in faces}
            state.ledger.look(Look(round(picture.time, 3), moved))
            if changed(state.told, picture.time, faces):
                state.told = picture.time, faces
                yield round(picture.time, 3), faces

    def _embed(self, picture: Picture, box: Box) -> Vector:
        return self.engine.embed(picture.colour(), box)

    def _scene(self, grey: Grey) -> None:
        small = grey[::16, ::16].astype(np.int16)
        before, self.state._scene = self.state._scene, grey[::16, ::16]
        if before is not None and (before.shape != small.shape or np.abs(small - before).mean() > CUT):
            self.state.gallery.cut()

    @staticmethod
    def _moved(face: Face, grey: Grey, behind: Sequence[Grey]) -> float | None:
        box = Box(face.left, face.top, face.width, face.height)
        return max((movement(grey, each, box) for each in behind), default=None)


def changed(told: tuple[float, tuple[Face, ...]], time: float, faces: tuple[Face, ...]) -> bool:
    """Whether what is on the picture now is worth telling after what was told last."""
    at, before = told
    if [face.person for face in before] != [face.person for face in faces]:
        return True
    if not faces:
        return False
    moves = (
        max(abs(a.left - b.left), abs(a.top - b.top), abs(a.width - b.width))
        for a, b in zip(before, faces, strict=True)
    )
    return time - at >= AGAIN or max(moves) > STILL
