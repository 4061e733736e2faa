"""The pool of recogniser processes."""

import os
import sys

import numpy as np
import pytest

from services.asr.engines import EngineOptions, load

pytest.importorskip("pocketsphinx", reason="pocketsphinx is not installed")

from services.asr.engines.pocketsphinx import Pocketsphinx, Worker, WorkerLost, build
from services.asr.engines.pocketsphinx_program import build as build_decoder
from services.asr.engines.pocketsphinx_program import decode

ANSWERS = """
import sys
while True:
    print('[["word", 0.0, 0.5]]', flush=True)
    size = sys.stdin.buffer.read(8)
    if not size:
        break
    sys.stdin.buffer.read(int.from_bytes(size, "big"))
"""
HANGS = "import sys, time; print('[]', flush=True); time.sleep(60)"
SOUND = np.zeros(1600, np.float32)


def test_the_same_sound_gives_the_same_words() -> None:
    engine = build(EngineOptions(workers=1))
    noise = np.random.default_rng(1).normal(0, 0.1, 8000).astype(np.float32)
    first, again = (engine.transcribe(noise, language="en") for _ in range(2))
    engine.close()
    assert first == again
    assert all(0 <= word.start < word.end <= 0.5 for word in first.words)


def test_a_phrase_is_decoded_alike_whatever_was_decoded_before() -> None:
    decoder = build_decoder()
    random = np.random.default_rng(1)
    hum = np.sin(np.arange(8000) * 0.055) * 5000 + random.normal(0, 300, 8000)
    phrase, other = (sound.astype("<i2").tobytes() for sound in (hum, random.normal(0, 3000, 8000)))
    scores = []
    for before in (phrase, phrase, other):
        decode(decoder, before)
        decode(decoder, phrase)
        scores.append(decoder.hyp().score)
    assert len(set(scores)) == 1


def test_a_worker_that_hangs_is_killed_and_replaced() -> None:
    worker = Worker([sys.executable, "-c", HANGS], patience=3.0)
    first = worker.start()
    with pytest.raises(WorkerLost):
        worker.ask(b"")
    assert first.poll() is not None
    assert worker.start().pid != first.pid
    worker.stop()


def test_a_worker_that_died_is_replaced_at_the_next_phrase() -> None:
    engine = Pocketsphinx(1, [sys.executable, "-c", ANSWERS])
    worker = Worker([sys.executable, "-c", ANSWERS], patience=30.0)
    process = worker.start()
    os.kill(process.pid, 9)
    process.wait(5)
    assert worker.ask(b"1234") == [("word", 0.0, 0.5)]
    worker.stop()
    assert engine.transcribe(SOUND, language="en").words[0].text == "word"
    engine.close()


def test_a_worker_ends_with_its_pipe() -> None:
    worker = Worker([sys.executable, "-c", ANSWERS], patience=30.0)
    process = worker.start()
    process.communicate(timeout=5)
    assert process.returncode == 0


def test_an_unknown_engine_names_those_that_exist() -> None:
    with pytest.raises(LookupError, match="pocketsphinx"):
        load("magic", EngineOptions())
