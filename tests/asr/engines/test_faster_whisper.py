"""What the adapter asks of a Whisper, and what it makes of the answer; the model stands in for one of the library."""

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from services.asr import engines
from services.asr.engines import EngineOptions, Word
from shared.audio import EAR, Pcm

pytest.importorskip("faster_whisper", reason="the faster-whisper package is not installed")

SILENCE = np.zeros(2 * EAR, np.float32)


def word(text: str, start: float, end: float) -> SimpleNamespace:
    return SimpleNamespace(word=text, start=start, end=end, probability=0.8)


def segment(*words: SimpleNamespace, no_speech: float = 0.1, logprob: float = -0.2) -> SimpleNamespace:
    return SimpleNamespace(words=words, no_speech_prob=no_speech, avg_logprob=logprob, compression_ratio=1.1)


class Model:
    """Answers with segments, one by one, as the library does."""

    def __init__(self, *segments: SimpleNamespace) -> None:
        self.segments = segments
        self.asked: dict[str, Any] = {}

    def transcribe(self, audio: Pcm, **options: Any) -> tuple[Iterator[SimpleNamespace], SimpleNamespace]:
        self.asked = options
        return iter(self.segments), SimpleNamespace(language="en")

    def detect_language(self, audio: Pcm) -> tuple[str, float, list[tuple[str, float]]]:
        return "de", 0.7, [("de", 0.7), ("en", 0.3)]


def whisper(model: Model) -> engines.WindowRecogniser:
    from services.asr.engines.faster_whisper import FasterWhisper

    return FasterWhisper(EngineOptions(model="none"), model)


def test_words_come_without_spaces_and_with_confidence() -> None:
    found = whisper(Model(segment(word(" Good", 0.1, 0.4), word(" day", 0.4, 0.8)))).transcribe(SILENCE, language="en")
    assert found.words == [Word("Good", 0.1, 0.4, 0.8), Word("day", 0.4, 0.8, 0.8)]
    assert (found.no_speech, found.logprob, found.compression, found.language) == (0.1, -0.2, 1.1, "en")


def test_times_lie_within_the_sound_and_never_go_back() -> None:
    model = Model(segment(word("a", -0.2, 0.5), word("b", 0.3, 0.4)), segment(word("c", 1.9, 2.6), word("d", 2.4, 2.9)))
    assert [(w.text, w.start, w.end) for w in whisper(model).transcribe(SILENCE, language=None).words] == [
        ("a", 0.0, 0.5),
        ("b", 0.5, 0.5),
        ("c", 1.9, 2.0),
    ]


def test_a_decode_is_greedy_and_knows_only_the_end_of_its_prompt() -> None:
    model = Model()
    whisper(model).transcribe(SILENCE, language="pt-BR", prompt="x" * 300)
    assert model.asked["language"] == "pt"
    assert model.asked["initial_prompt"] == "x" * 200
    assert (model.asked["temperature"], model.asked["beam_size"]) == (0.0, 1)
    assert model.asked["condition_on_previous_text"] is False
    assert model.asked["word_timestamps"] is True


def test_terms_are_hot_words_and_languages_have_probabilities() -> None:
    model = Model()
    engine = whisper(model)
    engine.transcribe(SILENCE, language="en", terms=("Dragoman", "Nairobi"))
    assert model.asked["hotwords"] == "Dragoman, Nairobi"
    assert engine.languages(SILENCE) == {"de": 0.7, "en": 0.3}


def test_nothing_heard_is_no_words_and_no_figures() -> None:
    found = whisper(Model()).transcribe(SILENCE, language="en")
    assert found == engines.Hypothesis([], language="en")


def test_the_worst_segment_speaks_for_the_guards() -> None:
    model = Model(segment(word("a", 0, 1), no_speech=0.9, logprob=-3.0), segment(word("b", 1, 2), logprob=-1.0))
    found = whisper(model).transcribe(SILENCE, language="en")
    assert (found.no_speech, found.logprob) == (0.9, -2.0)


def test_a_folder_without_a_model_is_never_looked_up_elsewhere(tmp_path: Path) -> None:
    engine = engines.load("faster_whisper", EngineOptions(model=str(tmp_path / "large-v3")))
    with pytest.raises(FileNotFoundError, match="large-v3"):
        engine.load()


def test_an_unknown_device_is_refused() -> None:
    with pytest.raises(ValueError, match="cuda"):
        engines.load("faster_whisper", EngineOptions(device="abacus"))


def test_a_model_that_does_not_fit_is_refused_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from services.asr.engines import faster_whisper

    (tmp_path / "model.bin").write_bytes(bytes(100))
    monkeypatch.setattr(faster_whisper, "refusal", lambda folder, device, reserve: f"{folder.name} is too large")
    with pytest.raises(MemoryError, match="is too large"):
        engines.load("faster_whisper", EngineOptions(model=str(tmp_path))).load()
