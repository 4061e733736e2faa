"""What a second of media costs one core: demux, remux in the downloader; mix, encode, package, serve in the sender."""

import argparse
import asyncio
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import cast

import numpy as np
import psutil
import uvicorn
import uvloop
from fastapi import FastAPI
from numpy.typing import NDArray
from obstore.store import MemoryStore

from loadtest.broadcast import Broadcast, broadcast
from loadtest.card import PROGRAMME
from loadtest.coding import SEGMENT, Segments
from loadtest.redis_server import free_port
from loadtest.report import parser, tell
from services.downloader.demux import demux, fragment
from services.downloader.ear import Ear
from services.downloader.package import segment
from services.downloader.source import Cursor, Piece, place
from services.sender import encode, package, serving
from services.sender.mix import Duck, ReadPcm, Span, Spoken, Stereo, voice_over
from services.sender.timeline import Coded, Due
from services.sender.timeline import Piece as Captured
from shared.audio import BASE, EAR, TICKS, VOICE
from shared.cmaf import Sample
from shared.store import Store, open_store

ROOT = Path(__file__).parents[1]
LENGTH = 60
"""Media seconds that are made."""
SIZE = 26_000
"""Bytes of a served segment: two seconds of sound."""
CONNECTIONS = 16
PICTURED = Captured(start=BASE, end=BASE, date=0.0, video=Coded(format=0, media=""), audio=Coded(format=0, media=""))
"""A source with a picture of its own, which costs the sender nothing."""
FFMPEG = [
    "-c:a",
    "aac",
    "-aac_coder",
    "fast",
    "-b:a",
    "96k",
    "-f",
    "hls",
    "-hls_time",
    "2",
    "-hls_segment_type",
    "fmp4",
]
NGINX = """
daemon off; worker_processes 1; pid {root}/nginx.pid; error_log {root}/error.log;
events {{ worker_connections 256; }}
http {{
  access_log off; sendfile on; keepalive_requests 1000000; open_file_cache max=100;
  client_body_temp_path {root}/b; proxy_temp_path {root}/p; fastcgi_temp_path {root}/f; uwsgi_temp_path {root}/u;
  scgi_temp_path {root}/s;
  server {{ listen 127.0.0.1:{port}; root {root}; }}
}}
"""


def main(argv: Sequence[str]) -> int:
    found = parser("media", __doc__)
    found.add_argument("--rounds", type=int, default=3, help="the best of so many")
    options = found.parse_args(argv)
    tell("media", media(options), options)
    return 0


def media(options: argparse.Namespace) -> dict[str, float]:
    """The figures; every cost is CPU time of one thread, the least of some rounds."""
    programme = broadcast()
    sound = programme.read(0, (LENGTH + 4) * VOICE)
    clips = speech(sound)
    coded = asyncio.run(fetched(programme, 10))
    # Interleaved, because other programs on the machine slow all of them down alike.
    rounds = [(asyncio.run(download(coded)), dub(sound, clips), by_ffmpeg(sound, clips)) for _ in range(options.rounds)]
    source, rendition, reference = (min(column) for column in zip(*rounds, strict=True))
    figures = {"source_ms_per_s": source, "rendition_ms_per_s": rendition, "renditions_per_core": 1000 / rendition}
    if reference < float("inf"):
        figures |= {"ffmpeg_ms_per_s": reference, "ffmpeg_renditions_per_core": 1000 / reference}
    return figures | seams(sound) | uvloop.run(serve())


async def fetched(programme: Broadcast, count: int) -> list[bytes]:
    """Segments as an origin sends them."""
    segments = Segments(programme)
    try:
        return [await segments.get(PROGRAMME, number) for number in range(count)]
    finally:
        segments.close()


async def download(coded: Sequence[bytes]) -> float:
    """Milliseconds for a second of source: demultiplexed, decoded for the recogniser, stored as CMAF."""
    store, ear, cursor, heard = Store(MemoryStore()), Ear(), Cursor(), 0
    begin = time.process_time()
    for data in coded:
        for piece in place(fragment(demux(data)), cursor):
            assert isinstance(piece, Piece)
            heard = heard or piece.start * EAR // TICKS
            heard = ear.hear(piece.audio, heard, piece.end * EAR // TICKS).end
            await segment(store, "s", piece, until=0.0, date=1.0, arrived=1.0)
    return 1000 * (time.process_time() - begin) / (len(coded) * SEGMENT)


def speech(sound: Stereo) -> list[Spoken]:
    """Clips of 3 s with 1 s between them, from the start of the clock on."""
    starts = range(BASE * VOICE // TICKS, (BASE // TICKS + LENGTH) * VOICE, 4 * VOICE)
    length = 3 * VOICE
    takes = [sound[0, 2 * VOICE * number :][:length].copy() for number in range(len(starts))]
    return [Spoken(Span(start, start + length), take) for start, take in zip(starts, takes, strict=True)]


def dub(sound: Stereo, clips: Sequence[Spoken]) -> float:
    """Milliseconds for a second of one voice-over: mixed, coded, packaged."""
    read = reader(sound)
    begin = time.process_time()
    for number in range(LENGTH // SEGMENT):
        start = BASE + number * SEGMENT * TICKS
        due = Due(number, start, start + SEGMENT * TICKS, 0.0, PICTURED, False)
        package.pack(due, read, size=(640, 360), untouched=True, dubs={"es": clips}, cues={}, duck=Duck(), clean=False)
    return 1000 * (time.process_time() - begin) / LENGTH


def by_ffmpeg(sound: Stereo, clips: Sequence[Spoken]) -> float:
    """Milliseconds for a second of the same mix, coded and packaged by ffmpeg's hls muxer; infinite without ffmpeg."""
    program = shutil.which("ffmpeg")
    if not program:
        return float("inf")
    start = BASE * VOICE // TICKS
    mixed = voice_over(reader(sound), clips, start, start + LENGTH * VOICE, Duck())
    with tempfile.TemporaryDirectory() as folder:
        pcm = Path(folder) / "mix.f32"
        pcm.write_bytes(np.ascontiguousarray(mixed.T).tobytes())
        sent = ["-threads", "1", "-f", "f32le", "-ar", str(VOICE), "-ac", "2", "-i", str(pcm)]
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        command = [program, "-v", "error", "-nostdin", *sent, *FFMPEG, f"{folder}/out.m3u8"]
        subprocess.run(command, check=True, timeout=120)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return 1000 * (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) / LENGTH


def reader(sound: Stereo) -> ReadPcm:
    """The sound on the media clock; silent before it starts."""
    first = BASE * VOICE // TICKS
    ahead = encode.LEAD_IN * encode.FRAME
    # Channel by channel, as decoders give it.
    padded = np.pad(np.ascontiguousarray(sound), ((0, 0), (ahead, 0)))
    return lambda start, end: padded[:, start - first + ahead : end - first + ahead]


def seams(sound: Stereo) -> dict[str, float]:
    """What coding adds at the seams of segments: beside what it adds elsewhere, and beside a coder that never stops."""
    read = reader(sound)
    spans = [
        encode.frames_of(BASE + number * SEGMENT * TICKS, BASE + (number + 1) * SEGMENT * TICKS)
        for number in range(LENGTH // SEGMENT)
    ]
    whole = range(spans[0].start, spans[-1].stop)
    original = read(whole.start * encode.FRAME, whole.stop * encode.FRAME)
    parts = residual([sample for span in spans for sample in encode.encode(read, span)], original)
    one = residual(encode.encode(read, whole), original)
    seam = np.zeros(len(whole), bool)
    for span in spans[1:]:
        seam[[span.start - whole.start - 1, span.start - whole.start]] = True
    power = np.mean(original.reshape(2, len(whole), encode.FRAME).astype(np.float64) ** 2, axis=(0, 2))
    loud = power > 1e-6
    at, elsewhere = seam & loud, ~seam & loud

    def noise(which: NDArray[np.bool_]) -> float:
        return float(np.mean(parts[which] / power[which]))

    return {
        "seam_residual_ratio": float(np.sqrt(noise(at) / noise(elsewhere))),
        "seam_residual_beside_one_encoder": float(np.sqrt(parts[at].sum() / one[at].sum())),
    }


def residual(samples: Sequence[Sample], original: Stereo) -> NDArray[np.float64]:
    """Power of what a decoder gives too much or too little, frame by frame."""
    _, heard = encode.decode("mp4a.40.2", encode.configuration(), 0, VOICE, samples)
    length = original.shape[1]
    off = np.zeros((2, length))
    off[:, : heard.shape[1]] = heard[:, :length] - original[:, : heard.shape[1]]
    return np.asarray(np.mean(off.reshape(2, length // encode.FRAME, encode.FRAME) ** 2, axis=(0, 2)), np.float64)


async def serve() -> dict[str, float]:
    """Requests a second for one segment, from one process of ours and from nginx with one worker."""
    figures: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        path = "/hls/s/es-900000-0123456789abcdef.m4s"
        prepare(root, path)
        port = free_port()
        ours = [sys.executable, "-c", f"from loadtest.media import server; server({str(root / 'hls')!r}, {port})"]
        figures |= await loaded(ours, port, path, "segment_requests")
        if program := shutil.which("nginx"):
            port = free_port()
            (root / "nginx.conf").write_text(NGINX.format(root=root, port=port))
            command = [program, "-c", f"{root}/nginx.conf", "-e", f"{root}/error.log"]
            figures |= await loaded(command, port, path, "nginx_requests")
    return figures


def prepare(root: Path, path: str) -> None:
    """One segment in a folder; nginx reads it as another user."""
    root.chmod(0o755)
    file = root / path[1:]
    file.parent.mkdir(parents=True)
    file.write_bytes(bytes(range(256)) * (SIZE // 256))


def server(folder: str, port: int) -> None:
    """The sender's HTTP side alone, with the objects of a folder."""
    app, objects = FastAPI(), open_store(f"file://{folder}")

    def nowhere() -> serving.Outside:
        raise RuntimeError("only objects are served")

    app.include_router(serving.router(nowhere, objects, 60.0, ROOT / "services/sender/web", ROOT))
    uvicorn.run(app, host="127.0.0.1", port=port, log_level="warning", access_log=False, ws="none")


async def loaded(command: Sequence[str], port: int, path: str, name: str, seconds: float = 4.0) -> dict[str, float]:
    """Requests a second of wall clock, and a second of the server's CPU, over keep-alive connections."""
    loop = asyncio.get_running_loop()
    process = psutil.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        await listening(port)
        before, begin = cpu(process), time.monotonic()
        clients = [
            (await loop.create_connection(lambda: Client(path), "127.0.0.1", port))[1] for _ in range(CONNECTIONS)
        ]
        await asyncio.sleep(seconds)
        counts = [client.stop() for client in clients]
        spent, wall = cpu(process) - before, time.monotonic() - begin
    finally:
        process.terminate()
        process.wait()
    return {f"{name}_per_s": sum(counts) / wall, f"{name}_per_cpu_s": sum(counts) / max(spent, 0.01)}


async def listening(port: int) -> None:
    for _ in range(600):
        with suppress(OSError):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.close()
            return
        await asyncio.sleep(0.05)
    raise RuntimeError("the server does not start")


class Client(asyncio.Protocol):
    """Asks for one object again and again, as soon as it has it whole; does little, as it shares the machine."""

    def __init__(self, path: str) -> None:
        self._request = f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
        self._head, self._size, self._left, self._count = b"", 0, 0, 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        if not self._size:
            self._learn(data)
            data = b""
        self._left -= len(data)
        if self._size and self._left <= 0:
            self._count += 1
            self._left = self._size
            self._transport.write(self._request)

    def stop(self) -> int:
        """Whole answers so far; raises RuntimeError where there was none but a refusal."""
        self._transport.close()
        if not self._count:
            raise RuntimeError(f"the server says {self._head[:60]!r}")
        return self._count

    def _learn(self, data: bytes) -> None:
        """From the first answer, how long each is."""
        self._head += data
        head, found, _ = self._head.lower().partition(b"\r\n\r\n")
        if found and b" 200 " in head[:20]:
            length = int(head.partition(b"content-length: ")[2].split(b"\r")[0])
            self._size = len(head) + 4 + length
            self._left = self._size - len(self._head)


def cpu(process: psutil.Popen) -> float:
    times = [each.cpu_times() for each in (process, *process.children(recursive=True))]
    return float(sum(each.user + each.system for each in times))
