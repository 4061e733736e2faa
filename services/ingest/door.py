"""Starting, joining, changing and ending streams on the bus."""

import asyncio
import logging
import secrets
from collections.abc import Callable, Iterable
from typing import Protocol

from services.ingest import streams
from services.ingest.bodies import MOST_LANGUAGES, StreamPatch, StreamRequest
from services.ingest.limits import Quota
from services.ingest.load import full, overload
from services.ingest.problems import Problem
from services.ingest.served import AUTO, Served, lookup, served
from shared.context import Casting, Event, Offer, Record
from shared.messages import Message, StreamStarted, StreamStopped

log = logging.getLogger(__name__)

KEPT = {"url", "tenant", "subtitles_only", "profile", "longest", "glossary", "ducking", "record", "on_demand", "ads"}
KEPT |= {"faces", "listen", "ducking_attack", "ducking_release", "ducking_hold", "candidates"}
"""What a stream that is started again has of the one before; numbers of speakers mean others there."""
ATTEMPTS = 20
"""Times that a change is tried again because somebody else changed the record in between."""

PATIENCE = 1.0
"""Seconds that voices may be announced later than translators before a stream starts with subtitles only."""

Guard = Callable[[str], None]
"""Raises ValueError with a sentence for a URL that must not be fetched."""


class Bus(Protocol):
    """The part of the bus that stands outside turns."""

    async def record(self, stream: str) -> tuple[str, Record] | None: ...
    async def records(self) -> list[Record]: ...
    async def post(self, record: Record, expected: str, *messages: Message) -> bool: ...
    async def events(self, stream: str, after: str = "0") -> list[Event]: ...
    async def offers(self) -> dict[str, list[Offer]]: ...
    async def claim(self, digest: str, stream: str, instead_of: str = "") -> str: ...


class Door:
    """The streams of all tenants, as far as a tenant may see them."""

    def __init__(
        self,
        bus: Callable[[], Bus],
        guard: Guard,
        clock: Callable[[], float],
        quota: Quota | None = None,
        behind: float = 0.0,
    ) -> None:
        """`behind`: how many of its delays a running stream may be behind before new ones are refused; 0: any."""
        self._bus = bus
        self._guard = guard
        self._clock = clock
        self.quota = quota or Quota()
        self._behind = behind

    async def served(self) -> Served:
        """Returns what the running engines serve together."""
        return served(await self._bus().offers())

    async def start(self, asked: StreamRequest, tenant: str) -> tuple[Record, bool]:
        """Starts a stream or joins the tenant's running one of the same URL; returns its record and whether it is new.

        Raises Problem for a URL that must not be fetched, for languages that no engine serves, for more than the
        tenant may have, and for a new stream while the mesh is behind with those that it has or out of memory.
        """
        return await self._begin(await self._asked(asked, tenant))

    async def again(self, stream: str, tenant: str) -> tuple[Record, bool]:
        """Starts a stream that is over anew, with its settings but without its speakers; see `start`."""
        _, before = await self.find(stream, tenant)
        if streams.running(before):
            raise Problem(409, "stream-runs", "This stream runs. DELETE it first, or change it with PATCH.")
        offered = await self.served()
        spoken = source(before.source_language, offered)
        languages = targets(before.languages, spoken, offered)
        kept = before.model_dump(include=KEPT)
        return await self._begin(
            Record(
                **kept,
                stream=secrets.token_hex(6),
                source_language=spoken,
                languages=languages,
                subtitled=languages if before.subtitles_only else offered.subtitled(languages),
                delay=before.next_delay or before.delay,
                created_at=self._clock(),
            )
        )

    async def _begin(self, record: Record) -> tuple[Record, bool]:
        self._check(record.url)
        key, instead_of = streams.digest(record.tenant, record.url), ""
        for _ in range(ATTEMPTS):
            owner = await self._bus().claim(key, record.stream, instead_of)
            found = await self._bus().record(owner)
            if found is None:
                begun = record.model_copy(update={"stream": owner})
                await self._room(begun)
                if await self._bus().post(begun, "", StreamStarted(stream=owner, until=0.0)):
                    log.info("Stream started", extra={"stream": owner})
                    return begun, True
                continue
            version, running = found
            if not streams.running(running):
                instead_of = owner
                continue
            joined = self._joined(running, record, await self.served())
            await self._grown(running, joined)
            if joined == running or await self._bus().post(joined, version):
                return joined, False
        raise busy()

    async def find(self, stream: str, tenant: str) -> tuple[str, Record]:
        """Returns the version and the record of a tenant's stream; raises Problem if there is none."""
        found = await self._bus().record(stream) if stream.replace("-", "").replace("_", "").isalnum() else None
        if found is None or found[1].tenant != tenant:
            raise Problem(404, "no-such-stream", f'There is no stream "{stream[:64]}". GET /v1/streams lists yours.')
        return found

    async def all(self, tenant: str) -> list[Record]:
        """Returns a tenant's streams, the newest first."""
        records = [record for record in await self._bus().records() if record.tenant == tenant]
        return sorted(records, key=lambda record: record.created_at, reverse=True)

    async def change(self, stream: str, patch: StreamPatch, tenant: str) -> Record:
        """Changes a running stream and returns its new record; raises Problem where that makes no sense."""
        offered = await self.served()
        for _ in range(ATTEMPTS):
            version, record = await self.find(stream, tenant)
            if not streams.running(record):
                advice = "This stream is over. POST its URL to /v1/streams to start it again."
                raise Problem(409, "stream-over", advice)
            changed = patched(record, patch, offered)
            await self._grown(record, changed)
            if changed == record or await self._bus().post(changed, version):
                return changed
        raise busy()

    async def stop(self, stream: str, tenant: str) -> None:
        """Ends a stream; one that is over stays as it is."""
        for _ in range(ATTEMPTS):
            version, record = await self.find(stream, tenant)
            if not streams.running(record):
                return
            if await self.end(version, record, streams.STOPPED):
                return
        raise busy()

    async def end(self, version: str, record: Record, reason: str) -> bool:
        """Ends a running stream for a reason; False when its record has another version by now."""
        stopped = record.model_copy(update={"reason": reason, "ended_at": self._clock()})
        done = await self._bus().post(stopped, version, StreamStopped(stream=record.stream, until=0.0))
        if done:
            log.info("Stream stopped", extra={"stream": record.stream})
        return done

    async def _room(self, wanted: Record) -> None:
        records = await self._bus().records()
        self.quota.check(wanted, (record for record in records if record.tenant == wanted.tenant), self._clock())
        behind = await overload(self._bus(), records, self._behind, self._clock())
        if why := behind or full(await self._bus().offers()):
            advice = (
                f"No new stream is taken, so that those that run stay on time: {why}. Send this again in a minute;"
                " the operator can add replicas of that stage."
            )
            raise Problem(429, "overloaded", advice, headers={"Retry-After": "60"})

    async def _grown(self, before: Record, after: Record) -> None:
        if len(after.languages) > len(before.languages):
            Quota(languages=self.quota.languages).check(after, await self.all(after.tenant), self._clock())

    async def _asked(self, asked: StreamRequest, tenant: str) -> Record:
        self._check(asked.url)
        offered = await self.served()
        if offered.pairs and not offered.voices:
            await asyncio.sleep(PATIENCE)
            offered = await self.served()
        spoken = source(asked.source_language, offered)
        languages = targets(asked.languages, spoken, offered)
        timing = streams.timing(asked.profile, asked.delay)
        return Record(
            stream=secrets.token_hex(6),
            url=asked.url,
            tenant=tenant,
            languages=languages,
            subtitled=languages if asked.subtitles_only else offered.subtitled(languages),
            subtitles_only=asked.subtitles_only,
            source_language=spoken,
            candidates=candidates(asked.candidates, offered) if spoken == AUTO else (),
            profile=asked.profile,
            delay=timing.delay,
            longest=timing.longest,
            glossary=tuple(asked.glossary),
            ducking=asked.ducking,
            ducking_attack=asked.ducking_attack,
            ducking_release=asked.ducking_release,
            ducking_hold=asked.ducking_hold,
            record=asked.record,
            ads=asked.ads,
            on_demand=asked.on_demand,
            faces=asked.faces,
            listen=asked.listen,
            created_at=self._clock(),
        )

    def _check(self, url: str) -> None:
        try:
            self._guard(url)
            streams.canonical(url)
        except ValueError as error:
            raise url_refused(str(error)) from error

    @staticmethod
    def _joined(running: Record, asked: Record, offered: Served) -> Record:
        if asked.source_language not in (AUTO, running.source_language):
            advice = (
                f"Stream {running.stream} dubs this URL from {running.source_language}, not {asked.source_language}."
                f" Ask for {running.source_language}, or DELETE /v1/streams/{running.stream} first."
            )
            raise Problem(409, "other-source-language", advice, stream=running.stream)
        silent = running.subtitles_only and asked.subtitles_only
        joined = running.model_copy(update={"subtitles_only": silent})
        return spoken_in(joined, streams.union(running.languages, asked.languages), offered)


def spoken_in(record: Record, languages: tuple[str, ...], offered: Served) -> Record:
    """Returns a record with these languages; raises Problem when they are too many."""
    if len(languages) > MOST_LANGUAGES:
        advice = f"A stream has at most {MOST_LANGUAGES} languages. Remove one with PATCH before you add another."
        raise Problem(422, "too-many-languages", advice)
    if record.subtitles_only:
        return record.model_copy(update={"languages": languages, "subtitled": languages})
    # The offers of a replica that restarts are missing for a while: what already has a voice keeps it.
    voiced = set(record.languages) - set(record.subtitled)
    subtitled = tuple(language for language in offered.subtitled(languages) if language not in voiced)
    return record.model_copy(update={"languages": languages, "subtitled": subtitled})


def patched(record: Record, patch: StreamPatch, offered: Served) -> Record:
    """Returns a record as a patch wants it; raises Problem for languages and voices that nobody serves."""
    known = tuple(language for language in patch.languages.add if language not in record.languages)
    added = targets(known, record.source_language, offered) if known else ()
    removed = {lookup(language, record.languages) for language in patch.languages.remove}
    kept = tuple(language for language in record.languages if language not in removed)
    languages = streams.union(kept, added)
    if not languages:
        raise Problem(422, "no-language", "A stream needs a language. DELETE the stream to end it.")
    said = {**record.casting, **patch.speakers}
    for how in patch.speakers.values():
        if how is not None:
            cast(how, offered)
    changes = {
        "ducking": patch.ducking,
        "ducking_attack": patch.ducking_attack,
        "ducking_release": patch.ducking_release,
        "ducking_hold": patch.ducking_hold,
        "next_delay": None if patch.delay is None else streams.whole(patch.delay, record.segment),
        "subtitles_only": patch.subtitles_only,
        "listen": patch.listen,
        "glossary": None if patch.glossary is None else tuple(patch.glossary),
        "merged": patch.merged,
        "casting": {speaker: how for speaker, how in said.items() if how is not None},
    }
    changed = record.model_copy(update={name: value for name, value in changes.items() if value is not None})
    if changed.next_delay == changed.delay:
        changed = changed.model_copy(update={"next_delay": None})
    return spoken_in(changed, languages, offered)


def cast(casting: Casting, offered: Served) -> None:
    """Raises Problem for a voice that nobody serves."""
    for language, voice in casting.voices.items():
        names = [known.name for known in offered.voices_of(language)]
        if voice not in names:
            advice = f'No voice "{voice}" speaks {language}. Use one of: {", ".join(names) or "none is running"}.'
            raise Problem(422, "voice-not-served", advice, voices=names)


def source(language: str, offered: Served) -> str:
    """Returns the language to listen for; raises Problem when no running engine hears or translates it."""
    if not offered.pairs:
        advice = "No translator is running yet. Send this again when GET /v1/languages lists pairs."
        raise Problem(503, "no-translator", advice, headers={"Retry-After": "5"})
    heard = ", ".join(sorted(offered.sources()))
    if language == AUTO:
        if not offered.detects:
            advice = f"The running engine cannot find out what is spoken. Set source_language to one of: {heard}."
            raise Problem(422, "auto-not-served", advice, spoken=sorted(offered.sources()))
        return AUTO
    found = lookup(language, offered.sources())
    if found is None:
        advice = f"No running engine understands {language}. Set source_language to one of: {heard}."
        raise Problem(422, "source-not-served", advice, spoken=sorted(offered.sources()), pairs=offered.spoken_pairs())
    return found


def candidates(languages: Iterable[str], offered: Served) -> tuple[str, ...]:
    """Returns the languages among which "auto" decides, none: all served; raises Problem for one that is not."""
    return tuple(dict.fromkeys(source(language, offered) for language in languages)) or tuple(sorted(offered.sources()))


def targets(languages: Iterable[str], spoken: str, offered: Served) -> tuple[str, ...]:
    """Returns the languages as the engines name them; raises Problem, with the pairs served, for one that is not."""
    among = offered.targets(spoken)
    found = {language: lookup(language, among) for language in languages}
    missing = [language for language, served_as in found.items() if served_as is None]
    if missing:
        pairs = ", ".join(f"{source} to {target}" for source, target in offered.spoken_pairs())
        advice = f"Nobody translates {spoken} to {', '.join(missing)}. Served are: {pairs}."
        raise Problem(422, "pair-not-served", advice, pairs=offered.spoken_pairs())
    return tuple(dict.fromkeys(language for language in found.values() if language))


def url_refused(why: str) -> Problem:
    """Returns the answer to a URL that must not be fetched; `why` is a sentence."""
    detail = f"{why} Send the address of a public stream, or the name of a file as in file:talk.mp4."
    return Problem(422, "url-refused", detail, errors=[{"pointer": "/url", "detail": why}])


def busy() -> Problem:
    """Returns the answer to a change that others always forestalled."""
    advice = "Others are changing this stream at the same time. Send the request again."
    return Problem(409, "conflict", advice, headers={"Retry-After": "1"})
