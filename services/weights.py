"""python -m services.weights: fetch the recommended neural models that fit this machine, with the settings for them.

The settings go to `neural.env` beside the models; a shell that sources it (`set -a`) has the engines chosen.
What is there is not fetched again, whoever put it there, so a machine without a network can be given the folders.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import urllib.request
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from shared.memory import GIGABYTE, room
from shared.memory import machine as main_memory

HUB = "https://huggingface.co"
NOISE = re.compile(r"^(Got: \w+: )?(\[Errno -?\d+\] )?")
RESERVE = 2.0
"""Gigabytes that stay free for the work itself."""
FILE = "neural.env"
STAGES = ("asr", "translator", "segmenter", "speaker", "tts")
"""Those with neural engines: when memory is short, the first ones get the better models."""


@dataclass(frozen=True, slots=True)
class Model:
    """A model that can be fetched, or the embedded engine where `source` is empty."""

    stage: str
    name: str
    licence: str = ""
    source: str = ""
    """A repository of the hub, or the address of an archive."""
    gigabytes: float = 0.0
    """Of memory when it is loaded."""
    cores: int = 0
    """Cores that it needs without a GPU; 0: only with one."""
    files: tuple[str, ...] = ()
    """What is fetched of a repository."""
    needs: tuple[str, ...] = ()
    """Files without which the folder is no model."""
    folder: str = ""
    """Below the root."""
    settings: Mapping[str, str] = field(default_factory=dict)
    """`{root}`, `{folder}` and `{device}` stand for what they say."""
    language: str = ""
    """Only for this target; empty: for all."""
    voices: str = ""
    """What a voice model does not tell of its speakers, as JSON."""


def whisper(name: str, repository: str, gigabytes: float, cores: int) -> Model:
    """Whisper for CTranslate2."""
    files = ("model.bin", "config.json", "tokenizer.json", "preprocessor_config.json", "vocabulary.*")
    settings = {"ASR_ENGINE": "faster_whisper", "ASR_MODEL": "{folder}", "ASR_DEVICE": "{device}"}
    needs = ("model.bin", "config.json", "tokenizer.json")
    return Model("asr", name, "MIT", repository, gigabytes, cores, files, needs, name, settings)


def opus(target: str, name: str, gigabytes: float) -> Model:
    """A model of OPUS-MT, which is converted for CTranslate2 once it is here."""
    files = ("pytorch_model.bin", "*.json", "*.spm")
    settings = {
        "TRANSLATOR_ENGINE": "ctranslate2,apertium",
        "TRANSLATOR_MODEL": "{root}/translator",
        "TRANSLATOR_DEVICE": "{device}",
    }
    needs = ("model.bin", "source.spm", "target.spm")
    source, folder = f"Helsinki-NLP/{name}", f"translator/opus-mt-en-{target}"
    licence = "CC BY 4.0" if "tc-big" in name else "Apache-2.0 or CC BY 4.0: see its card"
    return Model("translator", name, licence, source, gigabytes, 2, files, needs, folder, settings, target)


def vits(language: str, name: str, licence: str, path: str, gender: str) -> Model:
    """A voice of Coqui's collection, one speaker each."""
    voices = f'[{{"name": "{name}", "gender": "{gender}", "language": "{language}"}}]\n'
    settings = {"TTS_ENGINE": "vits", "TTS_MODEL": "{folder}", "TTS_DEVICE": "{device}"}
    source = f"https://github.com/coqui-ai/TTS/releases/download/{path}--vits.zip"
    needs = ("model.pth", "config.json")
    return Model("tts", name, licence, source, 0.4, 2, (), needs, f"tts-{language}", settings, language, voices)


MODELS = (
    whisper("whisper-large-v3-turbo", "mobiuslabsgmbh/faster-whisper-large-v3-turbo", 1.8, 0),
    whisper("whisper-small", "Systran/faster-whisper-small", 0.6, 8),
    whisper("whisper-base", "Systran/faster-whisper-base", 0.3, 4),
    Model("asr", "pocketsphinx", "BSD"),
    Model(
        "segmenter",
        "fullstop-punctuation-multilang-large",
        "MIT",
        "oliverguhr/fullstop-punctuation-multilang-large",
        2.3,
        0,
        ("pytorch_model.bin", "*.json", "sentencepiece.bpe.model"),
        ("config.json",),
        "fullstop-punctuation-multilang-large",
        {"SEGMENTER_ENGINE": "punctuation", "SEGMENTER_MODEL": "{folder}", "SEGMENTER_DEVICE": "{device}"},
    ),
    Model("segmenter", "embedded", "Apache-2.0"),
    Model(
        "speaker",
        "spkrec-ecapa-voxceleb",
        "Apache-2.0",
        "speechbrain/spkrec-ecapa-voxceleb",
        0.1,
        2,
        ("*.ckpt", "hyperparams.yaml", "label_encoder.txt"),
        ("hyperparams.yaml", "embedding_model.ckpt"),
        "ecapa",
        {"SPEAKER_ENGINE": "ecapa", "SPEAKER_MODELS": "{root}", "SPEAKER_DEVICE": "{device}"},
    ),
    Model("speaker", "dvector", "Apache-2.0"),
    opus("es", "opus-mt-tc-big-en-es", 0.6),
    opus("fr", "opus-mt-tc-big-en-fr", 0.6),
    opus("it", "opus-mt-tc-big-en-it", 0.6),
    opus("pt", "opus-mt-tc-big-en-pt", 0.6),
    opus("de", "opus-mt-en-de", 0.3),
    opus("nl", "opus-mt-en-nl", 0.3),
    opus("ca", "opus-mt-en-ca", 0.3),
    Model("translator", "apertium", "GPL-2, runs as a program"),
    vits("es", "css10-es", "BSD-3-Clause", "v0.8.0_models/tts_models--es--css10", "m"),
    vits("fr", "css10-fr", "BSD-3-Clause", "v0.8.0_models/tts_models--fr--css10", "m"),
    vits("de", "thorsten-de", "Apache-2.0", "v0.7.0_models/tts_models--de--thorsten", "m"),
    vits("it", "mai-it", "Apache-2.0", "v0.6.1_models/tts_models--it--mai_female", "f"),
    vits("nl", "css10-nl", "BSD-3-Clause", "v0.8.0_models/tts_models--nl--css10", "m"),
    Model("tts", "espeak", "GPL-3, runs as a program"),
)
"""Each stage's best first, its embedded engine last. Nothing here forbids commercial use."""


MISSING = """
These models are missing. Call this again with a network (HF_ENDPOINT names a mirror of the hub, HTTPS_PROXY a proxy),
or put these folders there yourself. The embedded engines need none of them.
"""


class Unreachable(Exception):
    """A model cannot be fetched; the text says why in one line."""


@dataclass(frozen=True, slots=True)
class Machine:
    """What models may use."""

    device: str
    """cpu or cuda."""
    gigabytes: float
    """Free."""
    cores: int


def machine(device: str) -> Machine:
    """This machine; `auto` takes a GPU where the driver shows one. Raises ValueError where there is no such device."""
    free = room("cuda") if device != "cpu" else None
    if free is not None:
        return Machine("cuda", free / GIGABYTE, os.cpu_count() or 1)
    if device.startswith("cuda"):
        raise ValueError("no NVIDIA GPU answers here (nvidia-smi): install its driver, or take --device cpu")
    told = main_memory()
    return Machine("cpu", told.free / GIGABYTE if told else 0.0, os.cpu_count() or 1)


def choose(models: Sequence[Model], host: Machine, languages: Sequence[str]) -> list[Model]:
    """Models that fit together, stage by stage; a stage for which nothing fits gets its embedded engine.

    The translator gets one for each language that there is one for; a voice engine speaks the first language only.
    """
    left, chosen = host.gigabytes - RESERVE, list[Model]()
    for stage in STAGES:
        found = list[Model]()
        for language in languages if stage == "translator" else languages[:1]:
            suits = [
                model
                for model in models
                if model.stage == stage
                and (not model.language or model.language == language)
                and model.gigabytes <= max(left, 0.0)
                and (not model.source or host.device == "cuda" or 0 < model.cores <= host.cores)
            ]
            left -= suits[0].gigabytes
            found += [suits[0]] if suits[0] not in found else []
        chosen += [model for model in found if model.source] or found[:1]
    return chosen


def present(model: Model, root: Path) -> bool:
    """Whether the folder has what makes it a model."""
    return all((root / model.folder / name).is_file() for name in model.needs)


def settings(chosen: Sequence[Model], root: Path, device: str) -> str:
    """The lines of a file for a shell; what is set already stays."""
    found: dict[str, str] = {}
    for model in chosen:
        folder = root / model.folder
        found |= {key: text.format(root=root, folder=folder, device=device) for key, text in model.settings.items()}
    return "".join(f': "${{{key}:={value}}}"\n' for key, value in found.items())


def fetch(model: Model, root: Path, say: Callable[[str], Any]) -> None:
    """Fetch a model into its folder. Raises Unreachable, and OSError where the disk is full."""
    folder = root / model.folder
    folder.mkdir(parents=True, exist_ok=True)
    if model.source.startswith("https://"):
        _archive(model.source, folder, say)
    else:
        _repository(model, folder)
    if model.stage == "translator":
        _convert(folder)
    if model.voices and not (folder / "voices.json").exists():
        (folder / "voices.json").write_text(model.voices)
    if not present(model, root):
        raise Unreachable(f"{model.source} came without {' or '.join(model.needs)}")


def _repository(model: Model, folder: Path) -> None:
    """With the hub's own client, whose bars show how far it is."""
    try:
        hub: Any = import_module("huggingface_hub")
    except ModuleNotFoundError as missing:
        raise Unreachable("the hub's client is missing: pip install huggingface-hub") from missing
    try:
        hub.snapshot_download(model.source, local_dir=folder, allow_patterns=list(model.files))
    except hub.errors.OfflineModeIsEnabled as error:
        raise Unreachable("HF_HUB_OFFLINE is set") from error
    except (OSError, RuntimeError, ValueError) as error:
        raise unreachable(os.environ.get("HF_ENDPOINT") or HUB, error) from error


def _archive(address: str, folder: Path, say: Callable[[str], Any]) -> None:
    """A zip, unpacked flat."""
    packed, told = folder / "archive.part", 0
    try:
        with urllib.request.urlopen(address, timeout=30) as answer, packed.open("wb") as target:
            whole = int(answer.headers.get("Content-Length", 0))
            while piece := answer.read(1 << 20):
                target.write(piece)
                if whole and (share := 100 * target.tell() // whole) >= told + 10:
                    told = share
                    say(f"  {share} % of {whole / 1e6:.0f} MB")
        with zipfile.ZipFile(packed) as archive:
            for entry in archive.infolist():
                if entry.is_dir():
                    continue
                name = Path(entry.filename).name
                name = "model.pth" if ".pth" in name and "speaker" not in name else name
                with archive.open(entry) as source, (folder / name).open("wb") as target:
                    shutil.copyfileobj(source, target)
    except (OSError, zipfile.BadZipFile) as error:
        raise unreachable(address, error) from error
    finally:
        packed.unlink(missing_ok=True)


def _convert(folder: Path) -> None:
    """To CTranslate2's format, by its own program; what it was made of is removed."""
    program = Path(sys.executable).with_name("ct2-transformers-converter")
    copied = [path.name for path in (*folder.glob("*.spm"), *folder.glob("*.json")) if path.name != "config.json"]
    made = folder / "made"
    command = [
        program,
        "--model",
        folder,
        "--output_dir",
        made,
        "--force",
        *(["--copy_files", *copied] if copied else []),
    ]
    try:
        subprocess.run(list(map(str, command)), check=True, capture_output=True, text=True, timeout=1800)
    except FileNotFoundError as missing:
        raise Unreachable(
            "the converter is missing: pip install ctranslate2 transformers torch sentencepiece"
        ) from missing
    except subprocess.CalledProcessError as failed:
        raise Unreachable(f"it cannot be converted: {failed.stderr.strip().splitlines()[-1]}") from failed
    for raw in (*folder.glob("pytorch_model.bin"), *folder.glob("*.safetensors")):
        raw.unlink()
    for path in made.iterdir():
        path.replace(folder / path.name)
    made.rmdir()


def unreachable(address: str, error: Exception) -> Unreachable:
    """Which host did not give it, and why: the words of the system without what libraries put around them."""
    reason = str(getattr(error, "reason", "")) or first_line(error)
    return Unreachable(f"{urlsplit(address).netloc}: {NOISE.sub('', reason)}")


def first_line(error: Exception) -> str:
    return (str(error).splitlines() or [repr(error)])[0][:200]


def by_hand(model: Model, root: Path) -> str:
    """What a person does where the machine has no way to the source."""
    where = root / model.folder
    if model.stage == "translator":
        return (
            f"  {where}/ ({', '.join(model.needs)}): on a machine with a network\n"
            f"    hf download {model.source} --local-dir raw\n"
            f"    ct2-transformers-converter --model raw --output_dir {where.name} --copy_files source.spm target.spm"
        )
    if model.source.startswith("https://"):
        return (
            f"  {where}/ ({', '.join(model.needs)}, voices.json): unpack {model.source}\n"
            f"    voices.json: {model.voices.strip()}"
        )
    return f"  {where}/ ({', '.join(model.needs)}): hf download {model.source} --local-dir {where.name}"


def table(chosen: Sequence[Model], root: Path) -> str:
    rows = [("stage", "model", "licence of the weights", "memory", "from")]
    for model in chosen:
        source = (
            "comes with Dragoman" if not model.source else "there already" if present(model, root) else model.source
        )
        rows.append((model.stage, model.name, model.licence, f"{model.gigabytes:.1f} GB", source))
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    return "\n".join(
        "  ".join([*(f"{cell:<{width}}" for cell, width in zip(row[:4], widths, strict=True)), row[4]]) for row in rows
    )


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def arguments(words: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m services.weights", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--folder", type=Path, default=Path(os.environ.get("MODELS") or "models/neural"))
    parser.add_argument("--device", default=os.environ.get("DEVICE") or "auto", help="auto, cpu or cuda")
    parser.add_argument("--languages", default=os.environ.get("LANGUAGES") or "es", help="such as es,fr")
    parser.add_argument("--dry-run", action="store_true", help="only say what would be fetched")
    return parser.parse_args(words)


def main(words: Sequence[str]) -> int:
    """1 where a model is missing in the end; the message says what to put where."""
    asked = arguments(words)
    root, languages = asked.folder.absolute(), [part.strip() for part in asked.languages.split(",") if part.strip()]
    try:
        host = machine(asked.device)
    except ValueError as error:
        say(str(error))
        return 1
    chosen = choose(MODELS, host, languages)
    say(f"{host.gigabytes:.1f} GB are free on {host.device}; {RESERVE:.0f} of them stay free.\n")
    say(f"{table(chosen, root)}\n")
    if asked.dry_run:
        return 0
    missing: list[Model] = []
    for model in chosen:
        if not model.source or present(model, root):
            continue
        say(f"Fetching {model.name} from {model.source}")
        try:
            fetch(model, root, say)
        except (Unreachable, OSError) as error:
            say(f"  not to be had: {first_line(error)}")
            missing.append(model)
    if missing:
        say(MISSING)
        say("\n".join(by_hand(model, root) for model in missing))
        return 1
    root.mkdir(parents=True, exist_ok=True)
    (root / FILE).write_text(settings(chosen, root, host.device))
    say(f"The settings are in {root / FILE}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
