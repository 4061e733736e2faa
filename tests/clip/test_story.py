from typing import Any

from services.clip.story import Box, Story


def told(stage: str, kind: str, **message: Any) -> dict[str, Any]:
    return {"stage": stage, "kind": kind, "message": message}


def test_a_story_is_folded_from_events() -> None:
    story = Story()
    word = {"text": "hello", "start": 12.0, "end": 12.5, "confidence": None}
    sentence = {"utterance": "1", "start": 12.0, "end": 12.5, "text": "hello", "spoken": "en", "words": [word]}
    for event in (
        told("segmenter", "utterance", **sentence, speaker=None),
        told("speaker", "utterance", **sentence, speaker=1),
        told("translator", "translation", utterance="1", language="es", wordings=[{"text": "hola"}, {"text": "ho"}]),
        told("translator", "translation", utterance="9", language="es", wordings=[{"text": "nobody"}]),
        told(
            "faces",
            "faces",
            utterance="",
            start=11.0,
            faces=[{"person": 2, "left": 0.1, "top": 0.2, "width": 0.3, "height": 0.4}],
        ),
        told(
            "faces",
            "faces",
            utterance="1",
            start=12.0,
            faces=[{"person": 2, "left": 0, "top": 0, "width": 0, "height": 0}],
        ),
        told("sender", "sealed", until=14.0),
        told("voice", "warned", warning="the engine is degraded"),
        told("place", "end"),
    ):
        story.tell(event)
    assert [each.translations for _, each in story.told()] == [{"es": "hola"}]
    assert story.sentences["1"].speaker == 1
    assert story.faces(12.0, 13.0) == {2: Box(0.1, 0.2, 0.3, 0.4)}
    assert story.speaks == {"1": 2}
    assert (story.sealed, story.over, story.warnings) == (14.0, False, ["the engine is degraded"])
    story.tell(told("sender", "end"))
    assert story.over
