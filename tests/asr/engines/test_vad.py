"""The speech detector."""

import numpy as np
import pytest

pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
pytest.importorskip("faster_whisper.version", reason="faster-whisper, which brings the model, is not installed")

from services.asr.engines.vad import WINDOW, Silero


def test_what_it_says_does_not_depend_on_the_cuts() -> None:
    detector = Silero()
    pcm = np.random.default_rng(1).normal(0, 0.1, 40 * WINDOW).astype(np.float32)
    whole, memory = detector.speech(pcm, "")
    cut: list[float] = []
    carry = ""
    for start, end in ((0, 1), (1, 7), (7, 40)):
        speech, carry = detector.speech(pcm[start * WINDOW : end * WINDOW], carry)
        cut += speech
    assert cut == pytest.approx(whole, abs=1e-5)
    assert len(memory) < 2000


def test_silence_is_no_speech() -> None:
    speech, _ = Silero().speech(np.zeros(20 * WINDOW, np.float32), "")
    assert max(speech) < 0.5
