"""A pocketsphinx decoder as a program of its own, for the library holds the GIL while it decodes.

Standard input: the count of bytes (8 bytes, big-endian), then that many bytes of s16 PCM at 16 kHz, again and again.
Standard output: for each a line of JSON, [[word, start, end], ...] in seconds; before the first one, a line `[]`.
"""

import json
import re
import sys
from typing import BinaryIO

from pocketsphinx import Decoder

LEAD = 2 * 9600
"""Bytes of a phrase, 0.6 s, that are heard first and forgotten: the estimate of the noise begins with them."""
CHEAP = "cheap"
"""A search for one word, which costs next to nothing: of the lead nothing but the estimate is wanted."""


def build() -> Decoder:
    """A decoder of whole phrases."""
    decoder = Decoder(loglevel="FATAL", maxhmmpf=10000)
    decoder.add_keyphrase(CHEAP, "one")
    return decoder


def decode(decoder: Decoder, samples: bytes) -> list[tuple[str, float, float]]:
    """Decode a phrase as a whole, so that its own cepstral mean is the one that is taken off."""
    # Its estimate of the noise outlives a phrase, and words would depend on whatever this process decoded before.
    decoder.reinit_feat()
    search = decoder.current_search()
    for name, part in ((CHEAP, samples[:LEAD]), (search, samples)):
        decoder.activate_search(name)
        decoder.start_utt()
        decoder.process_raw(part, full_utt=True)
        decoder.end_utt()
    frame = 1 / decoder.config["frate"]
    return [
        (re.sub(r"\(\d+\)$", "", found.word), found.start_frame * frame, (found.end_frame + 1) * frame)
        for found in decoder.seg() or ()
        if not found.word.startswith(("<", "[", "+"))
    ]


def serve(source: BinaryIO, sink: BinaryIO) -> None:
    """Answer until the parent closes the pipe or is no more."""
    decoder = build()
    answer: list[tuple[str, float, float]] = []
    while True:
        sink.write(json.dumps(answer).encode() + b"\n")
        sink.flush()
        size = source.read(8)
        samples = source.read(int.from_bytes(size, "big"))
        if not size:
            return
        answer = decode(decoder, samples)


if __name__ == "__main__":
    try:
        serve(sys.stdin.buffer, sys.stdout.buffer)
    except (KeyboardInterrupt, BrokenPipeError):
        sys.exit(0)
