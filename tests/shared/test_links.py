"""Playback links open one stream for a while, and nothing else opens anything."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.links import Gate, Links, Refused, loopback

OLD, NEW = "an old secret of some length", "a new secret of some length"
NOW = 1_800_000_000
names = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,30}", fullmatch=True)


def made(*secrets: str) -> Links:
    links = Links.parse(",".join(secrets))
    assert links is not None
    return links


@given(names, st.integers(1, 10_000_000), st.integers(-10_000_000, 10_000_000))
def test_a_link_opens_its_stream_until_it_expires(stream: str, seconds: int, later: int) -> None:
    links = made(NEW)
    segment = links.sign(stream, NOW + seconds)
    if later < seconds:
        assert links.open(segment, NOW + later).stream == stream
    else:
        with pytest.raises(Refused, match="expired"):
            links.open(segment, NOW + later)


@given(names, st.integers(0, 200), st.characters(codec="ascii"))
def test_a_link_that_was_changed_anywhere_opens_nothing(stream: str, place: int, letter: str) -> None:
    links = made(NEW)
    segment = links.sign(stream, NOW + 60)
    place %= len(segment)
    forged = segment[:place] + letter + segment[place + 1 :]
    if forged != segment:
        with pytest.raises(Refused):
            links.open(forged, NOW)


@given(names, names)
def test_the_signature_of_one_stream_is_refused_for_another(one: str, other: str) -> None:
    links = made(NEW)
    _, expires, signature = links.sign(one, NOW + 60).split("~")
    if one != other:
        with pytest.raises(Refused):
            links.open(f"{other}~{expires}~{signature}", NOW)


def test_secrets_are_changed_without_breaking_the_links_that_are_out() -> None:
    out = made(OLD).sign("s", NOW + 60)
    assert made(NEW, OLD).open(out, NOW).stream == "s"
    assert made(NEW, OLD).sign("s", NOW + 60) == made(NEW).sign("s", NOW + 60) != out
    with pytest.raises(Refused):
        made(NEW).open(out, NOW)


def test_a_short_secret_is_refused_and_none_makes_no_links() -> None:
    assert Links.parse("") is None
    with pytest.raises(ValueError, match="16 characters"):
        Links.parse(f"{NEW},short")


def test_a_gate_asks_for_links_only_where_it_is_closed() -> None:
    links = made(NEW)
    link = links.sign("s", NOW + 60)
    open_gate, closed = Gate(links, False, lambda: NOW), Gate(links, True, lambda: NOW)
    assert open_gate.admit("s").stream == open_gate.admit(link).stream == closed.admit(link).stream == "s"
    for gate, segment in ((closed, "s"), (Gate(None, False, lambda: NOW), link), (open_gate, link[:-1] + "~")):
        with pytest.raises(Refused):
            gate.admit(segment)


def test_only_loopback_is_loopback() -> None:
    hosts = ("127.0.0.1", "::1", "localhost", "0.0.0.0", "::", "10.0.0.1")
    assert [host for host in hosts if loopback(host)] == ["127.0.0.1", "::1", "localhost"]
