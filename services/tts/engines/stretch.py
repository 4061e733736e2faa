"""Other paces at the same pitch: what is left to do after the synthesiser's own rate."""

import shutil
from collections.abc import Callable

import numpy as np

from services.tts.engines import EngineMissing
from shared.audio import VOICE, Pcm

SMALL = 0.05
Stretcher = Callable[[Pcm, float], Pcm]
"""(48 kHz mono, rate > 1 is faster) -> about len / rate samples. Blocks: call it off the event loop."""


def rubberband(pcm: Pcm, rate: float) -> Pcm:
    """Rubber Band R3, run as a program (GPL) by pyrubberband (ISC): about 45 ms for three seconds."""
    from pyrubberband import time_stretch

    return np.asarray(time_stretch(pcm, VOICE, rate, rbargs={"--fine": ""}), np.float32)


def signalsmith(pcm: Pcm, rate: float) -> Pcm:
    """Signalsmith Stretch (MIT), in this process: about 5 ms for three seconds."""
    from python_stretch import Signalsmith

    stretch = Signalsmith.Stretch()
    stretch.preset(1, VOICE)
    stretch.setTimeFactor(rate)
    stretched: Pcm = np.asarray(stretch.process(np.ascontiguousarray(pcm[None])), np.float32)[0]
    return stretched


def _either(pcm: Pcm, rate: float) -> Pcm:
    """Where a change is too small to be heard, the quick one."""
    return (signalsmith if abs(rate - 1) < SMALL else rubberband)(pcm, rate)


def load(name: str) -> Stretcher:
    """`rubberband`, `signalsmith`, or `auto`: the best that runs here. Raises EngineMissing."""
    found = {"rubberband": _has_rubberband(), "signalsmith": _has("python_stretch")}
    known: dict[str, Stretcher] = {"rubberband": rubberband, "signalsmith": signalsmith}
    if name == "auto" and all(found.values()):
        return _either
    if name != "auto" and name not in known:
        raise EngineMissing(f"there is no stretcher {name!r}; there are {', '.join(known)}, auto")
    for one, stretcher in known.items():
        if name in (one, "auto") and found[one]:
            return stretcher
    raise EngineMissing("no stretcher: apt install rubberband-cli, pip install dragoman[tts]")


def _has_rubberband() -> bool:
    return bool(shutil.which("rubberband")) and _has("pyrubberband")


def _has(package: str) -> bool:
    from importlib.util import find_spec

    return find_spec(package) is not None
