"""Folders of voice models: whether they can be loaded, and who speaks in them."""

from pathlib import Path

from pydantic import BaseModel, TypeAdapter, ValidationError

from services.tts.engines import EngineMissing, Options
from shared.memory import refusal
from shared.messages import Gender

LIST = "voices.json"
PACE = 150.0


class Listed(BaseModel):
    """A speaker of a model, as the operator lists it: no model tells whether its voices are men's or women's."""

    name: str
    """As the model calls it, or of a recording."""
    gender: Gender
    language: str = ""
    """BCP 47; empty: all that the model speaks."""
    pace: float = PACE
    """Words a minute at rate 1.0."""
    recording: str = ""
    """A file beside the list with some seconds of this voice, for a model that imitates."""


def checked(options: Options, *files: str) -> Path:
    """The model's folder. Raises EngineMissing with one line where it has not these files or does not fit."""
    folder = options.model
    missing = [file for file in files if not (folder / file).is_file()]
    if folder == Path() or missing:
        lacking = f" has no {', '.join(missing)}" if missing else ""
        raise EngineMissing(f"{str(folder)!r}{lacking}: set TTS_MODEL to the folder of a model")
    if reason := refusal(folder, options.device, options.reserve):
        raise EngineMissing(reason)
    return folder


def listed(folder: Path) -> list[Listed]:
    """The voices that the operator lists; none without a list. Raises EngineMissing where it cannot be read."""
    file = folder / LIST
    if not file.is_file():
        return []
    try:
        return TypeAdapter(list[Listed]).validate_json(file.read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise EngineMissing(f"{file} cannot be read: {place}: {first['msg']}") from error
