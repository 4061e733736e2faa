"""Judges a published HLS presentation, a URL or a folder: without errors a player has no excuse.

    python -m loadtest conformance http://127.0.0.1:8080/hls/STREAM/master.m3u8

A judge that shares no code with what it judges; then ffprobe and ffmpeg on each run, and mpv or VLC on each sound.
"""

import asyncio
import io
import struct
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import av

from loadtest.presentation import Presentation, Rendition, Row, parse_webvtt, read, runs, span, timescale
from loadtest.programs import Verdict, player, playing, verdicts
from loadtest.report import parser, tell
from shared.audio import TICKS

HOLE = 0.001
"""Seconds between the end of a segment and the start of the next that count as a hole."""
LATE = 0.025
"""Seconds that a segment of sound may start after its picture: one AAC frame, rounded up."""
EARLY = 0.15
"""Seconds that it may start before: sources cut the sound where decoding of the picture starts."""
ROUNDING = 1.5 / TICKS
"""Seconds that an EXTINF may be off the samples' duration for its decimals."""
FRAME = 1024
"""Samples of an AAC frame: sound is cut at frames, so a segment's may be off the common timeline by one."""
DATE = 0.002
"""Seconds by which dates may wander against the media clock."""


@dataclass(slots=True)
class Report:
    """What was found."""

    errors: list[str] = field(default_factory=list)
    segments: int = 0
    frames: int = 0
    """Decoded pictures and AAC frames."""
    seconds: float = 0.0
    """Length of the presentation by its playlists."""
    cues: int = 0
    renditions: tuple[str, ...] = ()
    offsets: dict[str, float] = field(default_factory=dict)
    """Per rendition: EXT-X-PROGRAM-DATE-TIME - media time, epoch seconds."""

    def expect(self, true: bool, text: str) -> None:
        """Note an error unless `true`."""
        if not true:
            self.errors.append(text)


async def check(uri: str, *, decode: bool = True) -> Report:
    """Fetch and judge a whole presentation; one that cannot be read has an error that says so."""
    try:
        presentation = await read(uri)
    except (OSError, ValueError) as error:
        return Report(errors=[f"unreadable: {error}"])
    return await asyncio.to_thread(judge, presentation, decode=decode)


def judge(presentation: Presentation, *, decode: bool = True) -> Report:
    """Every rule over what was fetched; `decode` also runs libav over each run between two discontinuities."""
    report = Report(renditions=tuple(presentation.renditions))
    menu(presentation, report)
    layouts(presentation, report)
    pictures: dict[int, float] = {}
    for rendition in presentation.renditions.values():
        starts = media(presentation, rendition, report)
        if rendition.kind == "video":
            pictures = pictures or starts
        for number, start in starts.items():
            late = start - pictures.get(number, start)
            report.expect(
                -EARLY <= late <= LATE, f"{rendition.name} {number}: starts {late * 1000:.1f} ms after the video"
            )
        if decode:
            decoding(presentation, rendition, report)
    spread = max(report.offsets.values(), default=0.0) - min(report.offsets.values(), default=0.0)
    report.expect(spread < DATE + LATE, f"dates of the renditions are {spread * 1000:.1f} ms apart")
    return report


def menu(presentation: Presentation, report: Report) -> None:
    """Attributes of the multivariant playlist (RFC 8216, 4.3.4; Apple's authoring specification)."""
    report.expect(bool(presentation.variants), "no variant")
    for variant in presentation.variants:
        report.expect(bool(variant.codecs), "variant without CODECS")
        report.expect(bool(variant.resolution and variant.frame_rate), "variant without RESOLUTION or FRAME-RATE")
        report.expect(bool(variant.average_bandwidth), "variant without AVERAGE-BANDWIDTH")
        report.expect(variant.average_bandwidth <= variant.bandwidth, "AVERAGE-BANDWIDTH over BANDWIDTH")
    chosen = [entry for entry in presentation.renditions.values() if entry.kind != "video"]
    labels = Counter((entry.kind, entry.label) for entry in chosen)
    report.expect(all(count == 1 for count in labels.values()), "two renditions of a group have the same NAME")
    sounds = [entry for entry in chosen if entry.kind == "audio"]
    report.expect(not sounds or sum(entry.default for entry in sounds) == 1, "not exactly one default sound")
    for entry in chosen:
        report.expect(bool(entry.language), f"{entry.name}: no LANGUAGE")
        report.expect(not entry.default or entry.autoselect, f"{entry.name}: DEFAULT not AUTOSELECT")
        report.expect(not (entry.default and "AI" in entry.label.split("(")[-1]), f"{entry.name}: a dub is the default")


def layouts(presentation: Presentation, report: Report) -> None:
    """The same sequence numbers, tags and durations in every rendition, and all of them within TARGETDURATION."""
    video, *others = presentation.renditions.values()
    report.seconds = sum(row.duration for row in video.rows)
    report.expect(bool(video.rows), f"{video.name}: no segments")
    for rendition in others:
        numbers = (rendition.first, rendition.seams, rendition.target, rendition.ended, len(rendition.rows))
        like = (video.first, video.seams, video.target, video.ended, len(video.rows))
        report.expect(numbers == like, f"{rendition.name}: sequence numbers {numbers} differ from the video's {like}")
        tags = {row.number for row in rendition.rows if row.discontinuity}
        wanted = {row.number for row in video.rows if row.discontinuity}
        wanted &= {row.number for row in rendition.rows}
        report.expect(
            tags == wanted, f"{rendition.name}: discontinuities {sorted(tags ^ wanted)} differ from the video's"
        )
        total = sum(row.duration for row in rendition.rows)
        report.expect(
            abs(total - report.seconds) <= LATE + EARLY or len(rendition.rows) != len(video.rows),
            f"{rendition.name}: lasts {total:.3f} s where the video lasts {report.seconds:.3f} s",
        )
    for rendition in presentation.renditions.values():
        for row in rendition.rows:
            report.expect(
                round(row.duration) <= rendition.target, f"{rendition.name} {row.number}: EXTINF over TARGETDURATION"
            )
        doubles = Counter(row.uri for row in rendition.rows)
        report.expect(len(doubles) == len(rendition.rows), f"{rendition.name}: a segment is listed twice")
        for before, row in pairwise(rendition.rows):
            if before.date is None or row.date is None:
                report.expect(before.date is row.date, f"{rendition.name} {row.number}: some segments have no date")


def media(presentation: Presentation, rendition: Rendition, report: Report) -> dict[int, float]:
    """One rendition's segments; presentation starts in media seconds by sequence number (none for text)."""
    starts: dict[int, float] = {}
    end: float | None = None
    for row in rendition.rows:
        report.segments += 1
        where = f"{rendition.name} {row.number}"
        try:
            data = presentation.objects[row.uri]
            if rendition.kind == "subtitles":
                captions(data, where, report)
                continue
            scale, times = timescale(presentation.objects[row.init]), span(data)
        except KeyError:
            report.errors.append(f"{where}: segment or init segment cannot be had")
            end = None
            continue
        except (ValueError, IndexError, struct.error) as error:
            report.errors.append(f"{where}: {error}")
            end = None
            continue
        duration, decode, start = (ticks / scale for ticks in (times.duration, times.decode, times.present))
        starts[row.number] = start
        off = abs(duration - row.duration)
        grid = FRAME / scale if rendition.kind == "audio" else 0.0
        report.expect(off <= ROUNDING + grid, f"{where}: EXTINF is {off * 1000:.1f} ms off the samples' duration")
        if end is not None and not row.discontinuity:
            hole = decode - end
            report.expect(abs(hole) < HOLE, f"{where}: {hole * 1000:.1f} ms from the end of the segment before")
        end = decode + duration
        dates(row, start, rendition.name, report, grid)
    return starts


def dates(row: Row, start: float, name: str, report: Report, grid: float) -> None:
    """EXT-X-PROGRAM-DATE-TIME keeps its distance to the media clock, but for a frame of `grid` seconds."""
    if row.date is None:
        return
    offset = row.date - start
    first = report.offsets.setdefault(name, offset)
    off = (offset - first) * 1000
    report.expect(abs(off) < (DATE + grid) * 1000, f"{name} {row.number}: date is off by {off:.1f} ms")


def captions(data: bytes, where: str, report: Report) -> None:
    """One WebVTT segment."""
    cues = parse_webvtt(data.decode())
    report.cues += len(cues)
    for cue in cues:
        report.expect(cue.end > cue.start, f"{where}: a cue ends before it starts")
        report.expect(bool(cue.text.strip()), f"{where}: an empty cue")
    report.expect(all(a.start <= b.start for a, b in pairwise(cues)), f"{where}: cues out of order")


def decoding(presentation: Presentation, rendition: Rendition, report: Report) -> None:
    """libav decodes each run between two discontinuities to as many frames as it has samples."""
    for run in runs(rendition.rows):
        where = f"{rendition.name} from {run[0].number}"
        found = corrupt = 0
        try:
            parts = [presentation.objects[row.uri] for row in run]
            samples = sum(span(part).samples for part in parts)
            data = presentation.objects[run[0].init] + b"".join(parts)
            with av.open(io.BytesIO(data), "r") as container:
                for frame in container.decode():
                    found += 1
                    corrupt += bool(frame.is_corrupt)
        except KeyError:
            continue
        except (ValueError, IndexError, OSError, struct.error) as error:
            report.errors.append(f"{where}: does not decode: {error}")
            continue
        report.frames += found
        report.expect(found == samples, f"{where}: {found} frames of {samples} samples")
        report.expect(not corrupt, f"{where}: {corrupt} corrupt frames")


def main(argv: Sequence[str]) -> int:
    """Judge one presentation; 1 when it has errors."""
    found = parser("conformance", "Judge a published HLS presentation.")
    found.add_argument("uri", help="multivariant playlist, a URL or a file, or the folder it lies in")
    found.add_argument("--no-decode", action="store_true", help="look at times and texts alone")
    found.add_argument("--no-programs", action="store_true", help="ask neither ffprobe, ffmpeg nor a player")
    found.add_argument("--play", type=float, default=8.0, help="seconds of each sound that mpv or VLC plays; 0: none")
    found.add_argument("--most", type=int, default=40, help="errors to print")
    options = found.parse_args(argv)
    try:
        presentation = asyncio.run(read(options.uri))
    except (OSError, ValueError) as error:
        print(f"unreadable: {error}")
        return 1
    report = judge(presentation, decode=not options.no_decode)
    asked = [] if options.no_programs else [*verdicts(presentation), *playing(presentation, options.play)]
    problems = [f"{each.program}: {each.subject}: {each.problem}" for each in asked if each.problem]
    for text in [*report.errors, *problems][: options.most]:
        print(text)
    if options.play and not options.no_programs and not player():
        print("no player: neither mpv nor VLC is installed (apt-get install mpv; VLC does not run as root)")
    tell("conformance", figures(report, asked), options)
    return bool(report.errors or problems)


def figures(report: Report, asked: Sequence[Verdict]) -> dict[str, float]:
    """What was found; of each program how often it was asked, how often it complained, how much it played at least."""
    found: dict[str, float] = {
        "errors": len(report.errors),
        "renditions": len(report.renditions),
        "segments": report.segments,
        "seconds": report.seconds,
        "frames": report.frames,
        "cues": report.cues,
    }
    for program in dict.fromkeys(verdict.program for verdict in asked):
        its = [verdict for verdict in asked if verdict.program == program]
        found |= {f"{program}_asked": len(its), f"{program}_bad": sum(bool(verdict.problem) for verdict in its)}
        if played := [verdict.seconds for verdict in its if verdict.seconds is not None]:
            found[f"{program}_played_s"] = min(played)
    return found
