"""Which neural models are chosen for a machine, how they come, and what is said where they do not."""

import http.server
import os
import subprocess
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path
from urllib.error import URLError

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services import weights
from services.weights import MODELS, RESERVE, STAGES, Machine, Model, choose

GPU = Machine("cuda", 24.0, 8)


def names(chosen: list[Model]) -> dict[str, list[str]]:
    return {stage: [model.name for model in chosen if model.stage == stage] for stage in STAGES}


def test_a_large_gpu_gets_the_best_of_each_stage() -> None:
    assert names(choose(MODELS, GPU, ["es"])) == {
        "asr": ["whisper-large-v3-turbo"],
        "translator": ["opus-mt-tc-big-en-es"],
        "segmenter": ["fullstop-punctuation-multilang-large"],
        "speaker": ["spkrec-ecapa-voxceleb"],
        "tts": ["css10-es"],
    }


def test_without_a_gpu_only_what_the_cores_can_do_is_taken() -> None:
    few, many = (names(choose(MODELS, Machine("cpu", 16.0, cores), ["es"])) for cores in (2, 8))
    assert few["asr"] == ["pocketsphinx"]
    assert many["asr"] == ["whisper-small"]
    assert few["segmenter"] == many["segmenter"] == ["embedded"]


def test_a_full_gpu_leaves_the_embedded_engines() -> None:
    assert all(not model.source for model in choose(MODELS, Machine("cuda", RESERVE, 8), ["es"]))


def test_each_language_gets_its_translator_and_the_first_one_its_voice() -> None:
    chosen = names(choose(MODELS, GPU, ["fr", "es"]))
    assert chosen["translator"] == ["opus-mt-tc-big-en-fr", "opus-mt-tc-big-en-es"]
    assert chosen["tts"] == ["css10-fr"]


def test_a_language_without_a_model_keeps_the_embedded_engine() -> None:
    chosen = names(choose(MODELS, GPU, ["gl"]))
    assert chosen["translator"] == ["apertium"]
    assert chosen["tts"] == ["espeak"]


@given(
    st.floats(0, 80),
    st.integers(1, 64),
    st.sampled_from(["cpu", "cuda"]),
    st.lists(st.sampled_from(["es", "fr", "ca", "gl"]), min_size=1, unique=True),
)
def test_what_is_chosen_fits_together_and_every_stage_has_an_engine(
    gigabytes: float, cores: int, device: str, languages: list[str]
) -> None:
    chosen = choose(MODELS, Machine(device, gigabytes, cores), languages)
    assert sum(model.gigabytes for model in chosen) <= max(0.0, gigabytes - RESERVE) + 1e-9
    assert {model.stage for model in chosen} == set(STAGES)
    assert all(model.licence for model in chosen)
    assert not [model for model in chosen if "NC" in model.licence]


def test_settings_are_lines_of_a_shell_that_leave_alone_what_is_set(tmp_path: Path) -> None:
    text = weights.settings(choose(MODELS, GPU, ["es"]), Path("/models"), "cuda")
    file = tmp_path / "neural.env"
    file.write_text(text)
    told = subprocess.run(
        ["sh", "-c", f"set -a; . {file}; env"],
        env={"ASR_DEVICE": "cpu", "PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=True,
        timeout=10,
    ).stdout.splitlines()
    assert {
        "ASR_ENGINE=faster_whisper",
        "ASR_DEVICE=cpu",
        "ASR_MODEL=/models/whisper-large-v3-turbo",
        "SPEAKER_MODELS=/models",
        "TRANSLATOR_MODEL=/models/translator",
        "TTS_MODEL=/models/tts-es",
    } <= set(told)


def test_who_asks_for_a_gpu_where_none_is_learns_it_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(weights, "room", lambda device: None)
    assert weights.main(["--device", "cuda"]) == 1
    assert capsys.readouterr().out.startswith("no NVIDIA GPU answers here")


class Folder(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """Keeps the tests' output clean."""


@pytest.fixture
def site(tmp_path: Path) -> Iterator[str]:
    """The address of an archive such as Coqui's, on loopback."""
    packed = tmp_path / "site" / "voice.zip"
    packed.parent.mkdir()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("tts_models--es--x--vits/model_file.pth", "weights" * 9999)
        archive.writestr("tts_models--es--x--vits/config.json", "{}")
    with http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), lambda *words: Folder(*words, directory=str(packed.parent))
    ) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/voice.zip"
        server.shutdown()
        thread.join()


def test_a_voice_comes_as_an_archive_with_progress_and_gets_its_list_of_voices(site: str, tmp_path: Path) -> None:
    said: list[str] = []
    folder = tmp_path / "tts-es"
    folder.mkdir()
    weights._archive(site, folder, said.append)
    assert (folder / "model.pth").read_text().startswith("weights")
    assert (folder / "config.json").is_file()
    assert not (folder / "archive.part").exists()
    assert said[-1].startswith("  100 % of")


def test_a_folder_that_somebody_filled_is_not_fetched_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(weights, "room", lambda device: int(24e9))
    for model in choose(MODELS, GPU, ["es"]):
        for name in model.needs:
            (tmp_path / model.folder / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / model.folder / name).write_text("")
    assert weights.main(["--folder", str(tmp_path)]) == 0
    assert "there already" in capsys.readouterr().out
    assert "faster_whisper" in (tmp_path / "neural.env").read_text()


def test_where_the_hub_cannot_be_reached_each_folder_and_command_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def unreachable(model: Model, root: Path, say: object) -> None:
        raise weights.Unreachable("name or service not known")

    monkeypatch.setattr(weights, "room", lambda device: int(24e9))
    monkeypatch.setattr(weights, "fetch", unreachable)
    assert weights.main(["--folder", str(tmp_path)]) == 1
    told = capsys.readouterr().out
    for model in choose(MODELS, GPU, ["es"]):
        assert f"{tmp_path / model.folder}/ ({', '.join(model.needs)}" in told
        assert model.licence in told
    assert "hf download" in told
    assert "ct2-transformers-converter" in told
    assert not (tmp_path / "neural.env").exists()


def test_the_hub_itself_is_asked_and_its_refusal_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("huggingface_hub", reason="the hub's client comes with faster-whisper")
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    (model,) = [model for model in MODELS if model.name == "spkrec-ecapa-voxceleb"]
    with pytest.raises(weights.Unreachable, match=r"^127\.0\.0\.1:9: [^\n]+$"):
        weights.fetch(model, tmp_path, print)


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (URLError(OSError(-2, "Name or service not known")), "Name or service not known"),
        (OSError("Got: ConnectError: [Errno -2] Name or service not known\nmore"), "Name or service not known"),
        (OSError("401 Client Error. (Request ID: x)"), "401 Client Error. (Request ID: x)"),
    ],
)
def test_the_words_of_the_system_are_told_with_the_host_and_nothing_else(error: Exception, says: str) -> None:
    assert str(weights.unreachable("https://example.com/x.zip", error)) == f"example.com: {says}"
