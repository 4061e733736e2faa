import re
from datetime import datetime
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from services.sender.playlist import Kind, Variant, media_playlist, menu, multivariant, target_of, window
from shared.audio import BASE, TICKS, VOICE
from shared.context import Row
from shared.messages import Sealed

DATE = "#EXT-X-PROGRAM-DATE-TIME:"


@st.composite
def logs(draw: st.DrawFn) -> list[Row]:
    rows: list[Row] = []
    at, seams = BASE, 0
    for number, (duration, broken) in enumerate(
        draw(st.lists(st.tuples(st.integers(3000, 4 * TICKS), st.booleans()), min_size=1, max_size=40))
    ):
        discontinuity = broken and number > 0
        seams += discontinuity
        rows.append(row(number, at, duration, seams, discontinuity))
        at += duration
    return rows


def row(number: int, start: int, duration: int, seams: int = 0, discontinuity: bool = False, late: bool = True) -> Row:
    names = ("video", "original", "es", "es-clean", "captions-en", "captions-es") if late else ("video", "original")
    sealed = Sealed(
        stream="s",
        until=(start + duration) / TICKS,
        number=number,
        start=start,
        duration=duration,
        date=1_700_000_000 + start / TICKS,
        objects={name: f"s/{name}-{start}.m4s" for name in names},
        inits={name: f"s/init-{name}-{seams % 2}.mp4" for name in names if not name.startswith("captions")},
        discontinuity=discontinuity,
    )
    return Row(number=number, sealed=sealed.until, seams=seams, body=sealed)


def tags(text: str) -> tuple[int, int]:
    (sequence,) = re.findall(r"MEDIA-SEQUENCE:(\d+)", text)
    (seams,) = re.findall(r"DISCONTINUITY-SEQUENCE:(\d+)", text)
    return int(sequence), int(seams)


@given(logs())
def test_durations_add_up_and_none_is_above_the_target(rows: list[Row]) -> None:
    target = target_of(rows, 2)
    text = media_playlist(rows, "video", target)
    durations = [float(each) for each in re.findall(r"#EXTINF:([\d.]+),", text)]
    assert abs(sum(durations) - sum(row.body.duration for row in rows) / TICKS) < 1e-5 * len(rows)
    assert all(round(duration) <= target for duration in durations)


@given(logs(), st.floats(1, 30))
def test_numbers_only_grow_and_every_segment_keeps_its_own(rows: list[Row], seconds: float) -> None:
    seen: dict[str, tuple[int, int]] = {}
    before = (-1, -1)
    for count in range(1, len(rows) + 1):
        text = media_playlist(window(rows[:count], seconds), "original", 4)
        now = number, seams = tags(text)
        assert now[0] >= before[0]
        assert now[1] >= before[1]
        before = now
        for line in text.splitlines():
            seams += line == "#EXT-X-DISCONTINUITY"
            if line.endswith(".m4s"):
                assert seen.setdefault(line, (number, seams)) == (number, seams)
                number += 1


@given(logs(), st.floats(1, 30))
def test_all_renditions_agree_on_numbers_and_tags(rows: list[Row], seconds: float) -> None:
    shown = window(rows, seconds)

    def skeleton(rendition: str) -> list[str]:
        text = media_playlist(shown, rendition, 4)
        return [
            line for line in text.splitlines() if line.startswith("#") and not line.startswith(("#EXT-X-MAP", DATE))
        ]

    assert len({tuple(skeleton(name)) for name in rows[0].body.objects}) == 1


@given(logs())
def test_every_date_is_that_of_the_first_frame_to_the_millisecond(rows: list[Row]) -> None:
    def dates(rendition: str) -> list[float]:
        text = media_playlist(rows, rendition, 4)
        return [datetime.fromisoformat(line[len(DATE) :]).timestamp() for line in text.splitlines() if DATE in line]

    assert dates("video") == dates("captions-es")
    for row, picture, sound in zip(rows, dates("video"), dates("es"), strict=True):
        assert -1e-3 <= sound - picture <= 1024 / VOICE + 1e-3
        # Frame k of the grid starts at sample 1024 k; the log's dates are 1 700 000 000 s after media time.
        frames = (sound - 1_700_000_000) * VOICE / 1024
        assert abs(frames - round(frames)) * 1024 / VOICE < 1e-3
        assert abs(picture - row.body.date) < 1e-3


@given(logs())
def test_an_init_segment_is_named_at_the_start_and_after_every_tag(rows: list[Row]) -> None:
    lines = media_playlist(rows, "video", 4, Kind.VOD).splitlines()
    assert lines[-1] == "#EXT-X-ENDLIST"
    assert any(line.startswith("#EXT-X-MAP") for line in lines[:8])
    for line, following in pairwise(lines):
        assert line != "#EXT-X-DISCONTINUITY" or following.startswith("#EXT-X-MAP")
    assert "#EXT-X-MAP" not in media_playlist(rows, "captions-en", 4)


def test_the_window_keeps_at_least_three_segments() -> None:
    rows = [row(number, BASE + number * TICKS, TICKS) for number in range(9)]
    assert [each.number for each in window(rows, 0.5)] == [6, 7, 8]
    assert [each.number for each in window(rows, 5)] == [4, 5, 6, 7, 8]


def test_a_language_added_later_starts_at_its_first_row() -> None:
    rows = [row(0, BASE, TICKS, late=False), row(1, BASE + TICKS, TICKS, 1, True), row(2, BASE + 2 * TICKS, TICKS, 1)]
    text = media_playlist(rows, "es", 2)
    assert tags(text) == (1, 0)
    assert text.count("#EXTINF") == 2


def test_the_original_is_the_only_sound_that_starts_by_itself() -> None:
    text = multivariant(Variant("avc1.42c00a,mp4a.40.2", 900, 800, 160, 90, 25), menu(row(0, BASE, TICKS).body, "en"))
    lines = [line for line in text.splitlines() if "EXT-X-MEDIA" in line]
    assert [line for line in lines if "DEFAULT=YES" in line] == lines[:1]
    sounds = [line for line in lines if "TYPE=AUDIO" in line]
    assert [line for line in sounds if ",AUTOSELECT=YES" in line] == lines[:1]
    assert 'NAME="Español (AI voice-over)",LANGUAGE="es",DEFAULT=NO,AUTOSELECT=NO' in text
    assert 'NAME="Español (AI voice only)"' in text
    assert 'NAME="English",LANGUAGE="en",DEFAULT=NO,AUTOSELECT=YES,FORCED=NO' in text
    assert text.endswith("video.m3u8\n")
    names = re.findall(r'TYPE=(\w+),.*NAME="([^"]+)"', text)
    assert len(set(names)) == len(names) == 5


def test_an_unknown_source_language_has_a_name_of_its_own() -> None:
    sealed = row(0, BASE, TICKS).body
    objects = {"video": "s/v", "original": "s/o", "captions-und": "s/c"}
    lines = [each.line() for each in menu(sealed.model_copy(update={"objects": objects}), "auto")]
    assert 'NAME="Original",LANGUAGE="und",DEFAULT=YES' in lines[0]
    assert 'NAME="Original (captions)",LANGUAGE="und"' in lines[1]
