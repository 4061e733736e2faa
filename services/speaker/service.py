"""Utterances in, utterances with their speakers out."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

from pydantic_settings import BaseSettings, SettingsConfigDict

from services.speaker import engines
from services.speaker.attribution import Listener, attribute
from services.speaker.ledger import Ledger
from shared.audio import to_pcm
from shared.bus import Context, Limits, Service, State
from shared.messages import Utterance


class Settings(BaseSettings):
    model_config = SettingsConfigDict(env_prefix="SPEAKER_", use_attribute_docstrings=True)

    engine: str = "dvector"
    """What embeds voices: dvector, ecapa (speechbrain), titanet (NeMo), or scripted."""
    models: Path = Path("models")
    """Folder with the engines' weights: dvector's wheel, folders `ecapa` and `titanet`."""
    device: str = "cpu"
    """cpu or cuda, for ecapa and titanet."""
    reserve: float = 2.0
    """Gigabytes of GPU memory that must stay free beside the weights; a model that does not fit is refused."""
    same: float = 0.0
    """Cosine at or above which two pieces are one speaker; 0: the engine's own."""
    slots: int = 2
    """Turns at once."""


class SpeakerState(State):
    ledger: Ledger = Ledger()


def create(settings: Settings | None = None) -> Service:
    """Build the service; the engine is loaded when it starts."""
    settings = settings or Settings()
    service = Service("speaker", Limits(slots=settings.slots))
    listeners: list[Listener] = []

    async def start() -> None:
        chosen = settings.engine, settings.models, settings.device, settings.reserve
        listeners.append(Listener(await asyncio.to_thread(engines.load, *chosen)))

    service.on_start(start)

    @service.on(Utterance, state=SpeakerState)
    async def tell(message: Utterance, state: SpeakerState, context: Context) -> AsyncIterator[Utterance]:
        sound = await context.listen(message.start, message.end)
        listener = listeners[-1]
        for heard in await asyncio.to_thread(listener.hear, message, to_pcm(sound.samples)):
            yield attribute(state.ledger, heard, settings.same or listener.embedder.same, context.record)

    return service
