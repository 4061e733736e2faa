"""Identity, timing and languages of a stream."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.ingest import streams
from services.ingest.keys import keys
from services.ingest.served import lookup, served, tag
from shared.context import Offer, Record

languages = st.lists(st.sampled_from(["es", "ca", "gl", "fr", "pt-BR"]), max_size=8).map(tuple)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("https://Example.COM/a?x=1", "HTTPS://example.com:443/a?x=1#t=3"),
        ("http://example.com", "http://example.com:80/"),
        ("https://youtu.be/abc123", "https://www.youtube.com/watch?t=10&v=abc123"),
        ("https://m.youtube.com/watch?v=abc123", "https://youtube.com/live/abc123?feature=share"),
        ("https://[2001:DB8::1]:443/", "https://[2001:db8::1]/"),
    ],
)
def test_spellings_of_one_url_have_one_digest(one: str, other: str) -> None:
    assert streams.digest("", one) == streams.digest("", other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("https://example.com/a", "https://example.com/A"),
        ("https://example.com/a?token=1", "https://example.com/a?token=2"),
        ("https://example.com/a", "http://example.com/a"),
        ("https://example.com:8443/a", "https://example.com/a"),
        ("file:a.mp4", "file:A.mp4"),
    ],
)
def test_different_streams_have_different_digests(one: str, other: str) -> None:
    assert streams.digest("", one) != streams.digest("", other)


def test_tenants_never_share_a_stream() -> None:
    assert streams.digest("ann", "https://example.com/") != streams.digest("bob", "https://example.com/")


hosts = st.from_regex(r"[A-Za-z0-9.-]{1,12}(:[0-9]{1,4})?", fullmatch=True)
paths = st.sampled_from(["", "/", "/a//B", "/watch?v=x", "/live/x", "/a?v=X#t"])


@given(st.sampled_from(["http", "HTTPS"]), st.sampled_from(["youtu.be", "m.youtube.com"]) | hosts, paths)
def test_the_canonical_spelling_of_a_url_is_its_own(scheme: str, host: str, path: str) -> None:
    url = streams.canonical(f"{scheme}://{host}{path}")
    assert streams.canonical(url) == url


@given(languages, languages)
def test_a_union_keeps_order_and_loses_and_doubles_nothing(first: tuple[str, ...], second: tuple[str, ...]) -> None:
    union = streams.union(first, second)
    assert set(union) == {*first, *second}
    assert len(union) == len(set(union))
    assert union[: len(set(first))] == streams.union(first, ())


@given(st.floats(2, 120), st.floats(2, 120))
def test_more_delay_never_means_shorter_utterances(one: float, other: float) -> None:
    assert streams.longest(min(one, other)) <= streams.longest(max(one, other))


def test_a_stream_that_was_stopped_runs_no_more_and_is_not_over_yet() -> None:
    stopped = Record(state="running", reason=streams.STOPPED, ended_at=1.0)
    assert not streams.running(stopped)
    assert not streams.over(stopped)
    assert streams.over(Record(state="failed", reason="no sound"))


@given(st.dictionaries(st.sampled_from("123456"), st.sampled_from("123456")))
def test_merged_speakers_end_at_one_who_is_not_merged_or_are_refused(speakers: dict[str, str]) -> None:
    try:
        final = streams.merged(speakers)
    except ValueError:
        return
    assert set(final) == set(speakers)
    assert not set(final.values()) & set(speakers)


@pytest.mark.parametrize(
    ("text", "canonical"), [("ES", "es"), ("pt_br", "pt-BR"), ("ZH-hant-tw", "zh-Hant-TW"), ("es-419", "es-419")]
)
def test_a_tag_gets_its_canonical_case(text: str, canonical: str) -> None:
    assert tag(text) == canonical


@pytest.mark.parametrize("text", ["", "e", "english", "es-", "es~ca", "es MX"])
def test_what_is_no_tag_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no language tag"):
        tag(text)


def test_a_lookup_falls_back_to_the_plain_language() -> None:
    assert lookup("zh-Hant-TW", {"zh", "zh-Hant"}) == "zh-Hant"
    assert lookup("es-MX", {"es"}) == "es"
    assert lookup("es", {"es-MX"}) is None


def test_replicas_serve_together_what_each_offers() -> None:
    union = served(
        {"asr": [Offer(spoken=("en",))], "translator": [Offer(pairs=(("en", "es"),)), Offer(pairs=(("de", "es"),))]}
    )
    assert union.spoken_pairs() == [("en", "es")]
    assert union.targets("auto") == {"es"}
    assert not union.detects


def test_pairs_alone_tell_what_is_understood_where_asr_offers_nothing() -> None:
    assert served({"translator": [Offer(pairs=(("en", "es"),))]}).sources() == {"en"}


@pytest.mark.parametrize("listed", ["ann", "ann=zz", "ann=00ff", "=" + "00" * 32])
def test_a_key_that_is_no_hash_is_refused_at_start(listed: str) -> None:
    with pytest.raises(ValueError):
        keys([listed])
