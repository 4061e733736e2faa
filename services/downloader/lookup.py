"""Asks streamlink, then yt-dlp, what stands behind a page; a program of its own that is run with `python -I`.

It reads a request as JSON from its input and writes an answer as JSON. It can reach nothing but the proxy that the
request names: an audit hook refuses every other connection and every look-up of a name.
"""

import contextlib
import http.cookiejar
import io
import json
import logging
import re
import resource
import sys
from typing import Any

Found = dict[str, Any]

CPU = 60
"""Seconds of processor time after which the kernel ends this program."""
MEMORY = 2 << 30
QUALITIES = (
    "b[protocol^=m3u8][height<={h}]/bv*[protocol^=m3u8][height<={h}]+ba[protocol^=m3u8]/b[protocol^=m3u8]/"
    "b[height<={h}]/ba[protocol^=m3u8]/ba/b"
)


class Failed(Exception):
    """The page is known, but nothing can be played; the text is the library's."""


def confine(host: str, port: int) -> None:
    """Let this program connect to one address alone (PEP 578)."""

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "socket.connect":
            address = arguments[1]
            if not isinstance(address, tuple) or tuple(address[:2]) != (host, port):
                raise PermissionError("only the proxy may be reached")
        elif event == "socket.getaddrinfo" and arguments[0] not in (host, host.encode()):
            raise PermissionError("names are looked up by the proxy")

    sys.addaudithook(hook)


def jar(path: str) -> http.cookiejar.CookieJar:
    """Cookies of a file in Netscape's format; none where there is no such file."""
    found = http.cookiejar.MozillaCookieJar()
    if path:
        with contextlib.suppress(OSError, http.cookiejar.LoadError):
            found.load(path, ignore_discard=True, ignore_expires=True)
    return found


def ask_streamlink(request: Found) -> Found | None:
    """The best stream of at most the wanted height; None where no plugin knows the URL."""
    from streamlink.exceptions import NoPluginError
    from streamlink.session.session import Streamlink
    from streamlink.stream.hls.hls import HLSStream, MuxedHLSStream
    from streamlink.stream.http import HTTPStream

    session = Streamlink()
    session.set_option("http-trust-env", False)
    session.set_option("http-proxy", request["proxy"])
    session.set_option("webbrowser", False)
    for cookie in jar(request["cookies"]):
        session.http.cookies.set_cookie(cookie)
    try:
        _, plugin, url = session.resolve_url(request["url"])
    except NoPluginError:
        return None
    made = plugin(session, url)
    streams = made.streams(sorting_excludes=[f">{request['height']}p"])
    chosen: Any = streams.get("best") or streams.get("best-unfiltered")
    if chosen is None:
        raise Failed("No playable streams found")
    found: Found = {"title": made.get_title() or "", "uploader": made.get_author() or "", "kind": "hls", "sound": ""}
    parts: list[Any] = [chosen]
    if isinstance(chosen, MuxedHLSStream):
        parts = list(chosen.substreams)
        found["sound"] = parts[1].to_url()
    elif isinstance(chosen, HTTPStream) and not isinstance(chosen, HLSStream):
        found["kind"] = "file"
    elif not isinstance(chosen, HLSStream):
        raise Failed(f"Unsupported stream type {type(chosen).__name__}")
    headers = {**session.http.headers, **(getattr(parts[0], "args", {}).get("headers") or {})}
    found["url"] = parts[0].to_url()
    return found | {"headers": with_cookies(headers, session.http.cookies, found["url"])}


def ask_ytdlp(request: Found) -> Found | None:
    """The best format of at most the wanted height; None where no extractor knows the URL."""
    import yt_dlp
    from yt_dlp.utils import UnsupportedError

    options: Found = {
        "quiet": True,
        "no_warnings": True,
        "noplaylist": True,
        "playlist_items": "1",
        "proxy": request["proxy"],
        "cachedir": False,
        "socket_timeout": 10,
        "geo_bypass": False,
        "format": QUALITIES.format(h=request["height"]),
        "allowed_extractors": ["default"] if request["generic"] else ["default", "-generic"],
    }
    if request["cookies"]:
        # Read here: yt-dlp would write its cookies back into the file.
        options["cookiefile"] = io.StringIO(readable(request["cookies"]))
    with yt_dlp.YoutubeDL(options) as player:
        try:
            info = player.extract_info(request["url"], download=False)
        except yt_dlp.DownloadError as error:
            if error.exc_info and isinstance(error.exc_info[1], UnsupportedError):
                return None
            if "No suitable extractor" in str(error):
                return None
            raise Failed(str(error)) from error
        while info and info.get("entries") is not None:
            info = next(iter(info["entries"]), None)
        if not info:
            raise Failed("No playable streams found")
        if info.get("live_status") == "is_upcoming":
            raise Failed("This live event will begin later")
        formats = info.get("requested_formats") or [info]
        hls = str(formats[0].get("protocol", "")).startswith("m3u8")
        if not hls and not str(formats[0].get("protocol", "")).startswith("http"):
            raise Failed(f"Unsupported stream type {formats[0].get('protocol')}")
        return {
            "kind": "hls" if hls else "file",
            "url": formats[0]["url"],
            "sound": formats[1]["url"] if hls and len(formats) > 1 else "",
            "headers": with_cookies(formats[0].get("http_headers") or {}, player.cookiejar, formats[0]["url"]),
            "title": info.get("title") or "",
            "uploader": info.get("uploader") or info.get("channel") or "",
            "language": formats[-1].get("language") or info.get("language") or "",
        }


def readable(path: str) -> str:
    """The text of a cookies file; empty where there is none."""
    with contextlib.suppress(OSError), open(path) as file:  # noqa: PTH123
        return file.read()
    return "# Netscape HTTP Cookie File\n"


def with_cookies(headers: Any, cookies: http.cookiejar.CookieJar, url: str) -> dict[str, str]:
    """The headers that a player would send for this URL; the encodings are left to our own client."""
    import urllib.request

    sent = {str(key): str(value) for key, value in dict(headers).items()}
    sent = {key: value for key, value in sent.items() if key.lower() not in ("accept-encoding", "connection")}
    asked = urllib.request.Request(url)
    cookies.add_cookie_header(asked)
    cookie = asked.get_header("Cookie")
    return sent | ({"Cookie": cookie} if cookie else {})


def answer(request: Found) -> Found:
    """What the first resolver that knows the page says: a stream, `error`, or nothing."""
    asked = {"streamlink": ask_streamlink, "yt-dlp": ask_ytdlp}
    errors = []
    for name in request["resolvers"]:
        try:
            found = asked[name](request)
        except Exception as error:  # a plugin may raise anything; all of it is the page's failure
            errors.append(str(error) or type(error).__name__)
            continue
        if found:
            return found
    return {"error": re.sub(r"\x1b\[[0-9;]*m", "", errors[-1])} if errors else {}


def main() -> None:
    request = json.load(sys.stdin)
    resource.setrlimit(resource.RLIMIT_CPU, (CPU, CPU))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    logging.disable()
    host, _, port = request["proxy"].removeprefix("http://").rpartition(":")
    confine(host, int(port))
    with contextlib.redirect_stdout(io.StringIO()):
        found = answer(request)
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main()
