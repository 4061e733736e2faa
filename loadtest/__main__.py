"""python -m loadtest NAME [options]: every measure, the test broadcast and the demo."""

import signal
import sys
from importlib import import_module
from types import FrameType

COMMANDS = {
    "demo": "dub the test broadcast, or a URL, on this machine",
    "origin": "play the test broadcast as a live HLS origin",
    "conformance": "check any HLS presentation",
    "bus": "turns beside a plain FastStream subscriber",
    "chaos": "kill workers at random and audit what was published",
    "dub": "dub a recording live through the whole mesh",
    "quality": "recognition, sentence ends, speakers and translation on real speech",
    "placement": "the planner beside simpler rules and the optimum",
    "faces": "faces on videos: found, told apart, and whose mouth speaks",
    "media": "what a second of media costs in downloader and sender",
    "play": "a presentation in Chromium: stalls, switches, captions against the clock",
    "compose": "build every image, run Compose, dub, kill and judge what was published",
    "streams": "many live streams: what they cost, and whether each keeps its delay",
    "scale": "a starved stage given replicas, then a third of all replicas killed",
    "soak": "hours of streams that start and end: what grows",
    "viewers": "HLS players against sender replicas",
    "hostile": "a source with every known fault through downloader and sender",
}


def ended(number: int, frame: FrameType | None) -> None:
    """End as if interrupted: what a measure has started ends with it."""
    raise SystemExit(128 + number)


def main() -> int:
    name, *options = sys.argv[1:] or [""]
    if name not in COMMANDS:
        print("usage: python -m loadtest NAME [options]\n")
        for command, text in COMMANDS.items():
            print(f"  {command:<12} {text}")
        return 0 if name in ("", "-h", "--help") else 2
    module = import_module(f"loadtest.{name}")
    signal.signal(signal.SIGTERM, ended)
    return int(module.main(options) or 0)


if __name__ == "__main__":
    sys.exit(main())
