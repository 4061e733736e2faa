"""HLS players as locust users: `locust -f loadtest/players.py`, given PLAYERS_URLS and PLAYERS_RESULT.

A player reads the multivariant playlist, joins three segments behind the edge, reloads its playlists of picture and
sound once a segment, fetches what is new, and now and then takes another sound. It plays from its buffer as time goes
by; a buffer that runs empty is a stall. Locust makes `time.sleep` yield to the other players.
"""

import json
import os
import random
import re
import time
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

from locust import FastHttpUser, events, task

from loadtest.published import Entry, entries

BUFFER = 3
"""Segments behind the edge at which a player joins."""
SWITCH = 20.0
"""Mean seconds between two changes of sound."""
NOTICED = 0.1
"""Seconds of an empty buffer that nobody notices."""
SOUND = re.compile(r'#EXT-X-MEDIA:TYPE=AUDIO.*?URI="([^"]+)"')
INIT = re.compile(r'#EXT-X-MAP:URI="([^"]+)"')

counts = {"stalls": 0, "stalled_s": 0.0, "switches": 0, "players": 0}


class Rendition:
    """One playlist that a player follows."""

    def __init__(self, url: str, kind: str) -> None:
        self.url, self.kind = url, kind
        self.last: int | None = None
        self.tag = ""
        self.inits: set[str] = set()
        self.first = self.buffered = 0.0
        """Dates from and up to which its media is there."""


class Player(FastHttpUser):
    """One viewer."""

    host = "http://players"
    connection_timeout = network_timeout = 10.0

    def on_start(self) -> None:
        time.sleep(random.uniform(0, 1))
        counts["players"] += 1
        self.master = random.choice(json.loads(os.environ["PLAYERS_URLS"]))
        self.clock: float | None = None
        """Wall time at which date 0 of the media plays."""
        self.sounds: list[str] = []
        self.due = self.switch_at = 0.0
        self.stalled = False

    @task
    def play(self) -> None:
        """One reload of the playlists."""
        if not self.sounds and not self.join():
            time.sleep(1.0)
            return
        if time.time() > self.switch_at:
            self.switch()
        self.due = time.time() + 2.0
        for rendition in (self.picture, self.sound):
            self.reload(rendition)
        self.account()
        time.sleep(max(0.05, self.due - time.time()))

    def join(self) -> bool:
        """Read the multivariant playlist."""
        text = self.fetch(self.master, "master")
        lines = [line for line in text.splitlines() if line and not line.startswith("#")]
        self.sounds = [urljoin(self.master, uri) for uri in SOUND.findall(text)]
        if not lines or not self.sounds:
            return False
        self.picture = Rendition(urljoin(self.master, lines[0]), "picture")
        self.sound = Rendition(random.choice(self.sounds), "sound")
        self.switch_at = time.time() + random.expovariate(1 / SWITCH)
        return True

    def switch(self) -> None:
        """Take another sound; its segments are needed from what plays now on."""
        counts["switches"] += 1
        self.switch_at = time.time() + random.expovariate(1 / SWITCH)
        self.sound = Rendition(random.choice(self.sounds), "sound")
        if self.clock is not None:
            self.sound.buffered = time.time() - self.clock

    def reload(self, rendition: Rendition) -> None:
        """Read a media playlist and fetch what it has new."""
        text = self.fetch(rendition.url, f"{rendition.kind} playlist", rendition)
        found = entries(text)
        for uri in INIT.findall(text):
            if uri not in rendition.inits:
                rendition.inits.add(uri)
                self.fetch(urljoin(rendition.url, uri), "init")
        for entry in self.wanted(found, rendition):
            self.fetch(urljoin(rendition.url, entry.uri), rendition.kind)
            rendition.first = rendition.first or entry.start
            rendition.last, rendition.buffered = entry.number, entry.end
        if found:
            self.due = min(self.due, time.time() + found[-1].duration)

    def wanted(self, found: list[Entry], rendition: Rendition) -> list[Entry]:
        """What is new; at first what plays now or later, else the last segments."""
        if rendition.last is not None:
            return [entry for entry in found if entry.number > rendition.last]
        if self.clock is not None:
            playing = time.time() - self.clock
            return [entry for entry in found if entry.end > playing]
        return found[-BUFFER:]

    def account(self) -> None:
        """Play on; where the buffer has run empty, wait for it."""
        buffered = min(self.picture.buffered, self.sound.buffered)
        if not buffered:
            return
        if self.clock is None:
            self.clock = time.time() - self.picture.first
        lacking = time.time() - self.clock - buffered
        if lacking <= 0:
            self.stalled = False
            return
        self.clock += lacking
        if lacking > NOTICED:
            counts["stalls"] += not self.stalled
            counts["stalled_s"] += lacking
            self.stalled = True

    def fetch(self, url: str, name: str, rendition: Rendition | None = None) -> str:
        """A body as text, empty where it has not changed or there is none."""
        headers = {"Accept-Encoding": "gzip"}
        if rendition and rendition.tag:
            headers["If-None-Match"] = rendition.tag
        with self.client.get(url, name=name, headers=headers, catch_response=True) as answer:
            if answer.status_code not in (200, 304):
                answer.failure(f"status {answer.status_code}")
                return ""
            answer.success()
            if rendition:
                rendition.tag = answer.headers.get("ETag", "")
            return (answer.text or "") if name == "master" or rendition else ""


def write(environment: Any, **_: Any) -> None:
    """Say how it went."""
    total = environment.stats.total
    figures = {
        "requests_per_s": total.total_rps,
        "requests": total.num_requests,
        "failures": total.num_failures,
        "p50_ms": total.get_response_time_percentile(0.5),
        "p99_ms": total.get_response_time_percentile(0.99),
        **{
            f"p99_ms.{name.replace(' ', '_')}": entry.get_response_time_percentile(0.99)
            for (name, _), entry in environment.stats.entries.items()
        },
        **counts,
    }
    Path(os.environ["PLAYERS_RESULT"]).write_text(json.dumps(figures))


events.quitting.add_listener(write)  # type: ignore[no-untyped-call]
