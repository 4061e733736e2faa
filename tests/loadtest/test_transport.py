"""What is carried through the mesh, and the logs and traces of a dub."""

import json
from pathlib import Path

import pytest

from loadtest import omnisteval, traces
from loadtest.baselines import costs, look_ahead
from loadtest.omnisteval import Dubbed
from loadtest.traces import PIPELINES, full_only, hour, timed
from loadtest.transport import carried
from loadtest.virtual import VirtualMesh
from services.segmenter import service as segmenter
from services.speaker import service as speaker
from services.translator import service as translator
from services.tts.placement import Affine, cost
from shared.context import Record
from shared.messages import Clip, End, Translation, Utterance, Word, Wording, Words

SAID = "the river has risen again in the old town and nobody was hurt but two houses are gone"
TEXT = SAID.split(" ")


async def spoken(language: str = "es") -> tuple[list[Utterance], list[Translation]]:
    """Words one by one through three stages, whose lanes move to another replica after each."""
    services = [
        segmenter.create(),
        speaker.create(speaker.Settings(engine="scripted")),
        translator.create(translator.Settings(engine="scripted")),
    ]
    mesh = VirtualMesh(services, Record(stream="s", languages=(language,), longest=6.0, live=False))
    await mesh.start()
    for number, text in enumerate(TEXT):
        start = 10.0 + 0.4 * number + 1.0 * (number // 6)
        word = Word(text=text, start=start, end=start + 0.3)
        await mesh.feed("asr", Words(stream="s", until=start + 0.3, words=(word,), spoken="en"))
        mesh.move()
    await mesh.feed("asr", End(stream="s", until=60.0))
    await mesh.stop()
    utterances = [message for message in mesh.told("speaker", Utterance) if isinstance(message, Utterance)]
    return utterances, [m for m in mesh.told("translator", Translation) if isinstance(m, Translation)]


async def test_every_word_is_carried_while_lanes_move_between_replicas() -> None:
    utterances, translations = await spoken()
    assert len(utterances) >= 3
    assert carried(TEXT, utterances, translations, "es") == {
        "transport_chrf": pytest.approx(100),
        "lost": 0,
        "doubled": 0,
    }


async def test_damage_lowers_the_score_and_is_counted() -> None:
    utterances, translations = await spoken()
    found = carried(TEXT, utterances, [*translations[1:], translations[-1]], "es")
    assert found["transport_chrf"] < 99
    assert (found["lost"], found["doubled"]) == (1, 1)


def test_a_log_has_each_dubbed_word_with_its_playout_inside_the_source(tmp_path: Path) -> None:
    def phrase(number: int, text: str, voiced: bool) -> Dubbed:
        values = {"stream": "s", "until": 0.0, "language": "es", "utterance": str(number)}
        start = 10.0 + 4 * number
        wordings = (Wording(text=text), Wording(text=text.split()[0], shorter=True))
        told = Translation(**values, start=start, end=start + 3, speaker=number, gender="f", wordings=wordings)
        clip = Clip(**values, start=start + 1, duration=2.0, rate=1.0, wording=number % 2, voice="v", audio="a")
        return Dubbed(told, clip if voiced else None)

    phrases = [phrase(0, "uno dos", True), phrase(1, "tres cuatro", True), phrase(2, "cinco seis", False)]
    omnisteval.write(tmp_path, phrases, 12.0)
    log = json.loads((tmp_path / "instances.log").read_text())
    assert (log["prediction"], log["prediction_length"]) == ("uno dos tres", 3)
    assert log["delays"] == [23_000, 24_000, 27_000]
    assert log["source_length"] > max(log["delays"])
    assert (tmp_path / "refs.txt").read_text().splitlines() == ["uno dos", "tres cuatro", "cinco seis"]
    assert "offset: 14.000, duration: 3.000, speaker_id: spk1" in (tmp_path / "seg.yaml").read_text()


def test_a_trace_is_read_as_it_was_written(tmp_path: Path) -> None:
    arrivals = timed(hour("base", 3, seconds=60), PIPELINES["fast"], 3)
    traces.write(tmp_path / "trace.json", arrivals[::-1])
    assert traces.read(tmp_path / "trace.json") == arrivals


@pytest.mark.parametrize("wordings", [True, False])
def test_the_tuned_rules_are_costed_as_they_are_played(wordings: bool) -> None:
    phrases = hour("fast", 5, seconds=300)
    phrases = phrases if wordings else full_only(phrases)
    rules = [Affine(), Affine(1.25, 0.15, 1.25, 0.4, 1.5), Affine(1.0, 0.0, 1.3, 2.5, 1e9)]
    assert costs(phrases, rules) == pytest.approx([cost(look_ahead(phrases, rule, 0.0)) for rule in rules])
