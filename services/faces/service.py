"""Pictures and utterances in, faces out: who is on the picture, and who of them speaks."""

from collections.abc import AsyncIterator

from pydantic_settings import BaseSettings, SettingsConfigDict

from shared.bus import Context, Limits, Service, State
from shared.messages import Faces, MediaSegment, Utterance


class Settings(BaseSettings):
    model_config = SettingsConfigDict(env_prefix="FACES_", use_attribute_docstrings=True)

    slots: int = 4
    """Streams whose turns run at once in this replica."""


class FacesState(State):
    """What is known of the people of one stream; it dies with the stream."""

    seen: float = 0.0
    """Media time up to which the picture has been looked at."""


def create(settings: Settings | None = None) -> Service:
    """The faces stage."""
    settings = settings or Settings()
    service = Service("faces", Limits(slots=settings.slots))

    @service.on(MediaSegment, state=FacesState)
    @service.on(Utterance, state=FacesState)
    async def look(message: MediaSegment | Utterance, state: FacesState, context: Context) -> AsyncIterator[Faces]:
        state.seen = message.until
        yield Faces(stream=message.stream, until=message.until, start=state.seen)

    return service
