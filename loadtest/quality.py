"""Recognition, sentence ends, speakers and translation on real speech, engine by engine."""

import argparse
import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path

from loadtest import diarisation, recognition, translation
from loadtest.report import parser, tell

Measure = Callable[[argparse.Namespace], dict[str, float]]


def asr(options: argparse.Namespace) -> dict[str, float]:
    """Words: right, in time, or invented."""
    return recognition.measure_asr(options.speech, options.engine, options.workers, whole=not options.short)


def segmenter(options: argparse.Namespace) -> dict[str, float]:
    """Sentence ends, and how long they are waited for."""
    return recognition.measure_sentences(options.speech)


def speaker(options: argparse.Namespace) -> dict[str, float]:
    """Who speaks, and with which voice."""
    return diarisation.measure(options.speech, options.models, options.speaker, whole=not options.short)


def translated(options: argparse.Namespace) -> dict[str, float]:
    """chrF of every pair that an engine has."""
    return asyncio.run(translation.measure(options.speech))


MEASURES: dict[str, Measure] = {"asr": asr, "segmenter": segmenter, "speaker": speaker, "translation": translated}


def main(argv: list[str] | None = None) -> int:
    """Measure what was asked for; a part whose files or engine are missing is said, and absent from the figures."""
    options = arguments(argv)
    figures: dict[str, float] = {}
    failed = 0
    for name in options.only:
        try:
            figures |= MEASURES[name](options)
        except (OSError, ImportError, LookupError) as missing:
            print(f"{name}: not measured: {missing}")
            failed = 1
    tell("quality", figures, options)
    if options.markdown:
        options.markdown.write_text(markdown(figures))
    return failed


def markdown(figures: Mapping[str, float]) -> str:
    """The figures as a table of Markdown."""
    rows = [f"| `{name}` | {value:.4g} |" for name, value in figures.items()]
    return "\n".join(["| figure | value |", "|---|---|", *rows, ""])


def arguments(argv: list[str] | None) -> argparse.Namespace:
    """What to measure, and on what."""
    options = parser("quality", __doc__)
    options.add_argument("--speech", type=Path, required=True, metavar="DIR", help="recordings and their references")
    options.add_argument("--only", type=_names, default=list(MEASURES), help=f"of {','.join(MEASURES)}")
    options.add_argument("--engine", default="pocketsphinx", help="of asr")
    options.add_argument("--workers", type=int, default=2, help="phrases decoded at once")
    options.add_argument("--speaker", default="dvector", help="engine of speaker")
    options.add_argument("--markdown", type=Path, metavar="FILE", help="write the figures here as a table")
    options.add_argument("--models", type=Path, default=Path("models"), help="weights of the speaker engine")
    options.add_argument("--short", action="store_true", help="asr and speaker on one stream alone")
    return options.parse_args(argv)


def _names(text: str) -> list[str]:
    names = text.split(",")
    if unknown := set(names) - set(MEASURES):
        raise argparse.ArgumentTypeError(f"no {', '.join(unknown)}; there are {', '.join(MEASURES)}")
    return names
