"""The test broadcast: two people talk about the news, with music, a jingle, a silence, and a timeline of what is said.

Spoken by flite (BSD-like licence), whose voices an embedded recogniser hears with few errors; the music is computed.
"""

import hashlib
import json
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from shared.audio import VOICE

Stereo = NDArray[np.float32]
"""Shape (2, samples), 48 kHz, full scale 1.0."""

CACHE = Path(".cache")
GRID = 8
"""A loop is a multiple of 8 s, which is 375 whole AAC frames at 48 kHz and four segments of 2 s."""
SPEECH_LEVEL = 10 ** (-23 / 20)
BED_LEVEL = 10 ** (-43 / 20)
JINGLE_LEVEL = 10 ** (-26 / 20)
HISS_LEVEL = 10 ** (-72 / 20)
"""Digital silence is not what a microphone sends."""
LAYOUT = 1
"""Changes when the same script comes out differently."""


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody on the programme."""

    name: str
    gender: str
    """f or m."""
    voice: str
    """flite's name for it."""


@dataclass(frozen=True, slots=True)
class Say:
    """One sentence of the script."""

    who: str
    text: str
    pause: float
    """Seconds of silence after it."""


@dataclass(frozen=True, slots=True)
class Play:
    """A stretch without speech."""

    what: str
    """jingle or silence."""
    duration: float


@dataclass(frozen=True, slots=True)
class Bed:
    """From here on, quiet music lies under the speech, or no longer."""

    on: bool


Step = Say | Play | Bed


@dataclass(frozen=True, slots=True)
class Sentence:
    """What is heard when, in seconds since the start of the loop."""

    start: float
    end: float
    speaker: str
    gender: str
    text: str


@dataclass(frozen=True, slots=True)
class Broadcast:
    """Sound that repeats, with what is said in it."""

    title: str
    sound: Stereo
    timeline: tuple[Sentence, ...]
    """Empty when nobody wrote down what is said."""
    digest: str
    """The same for the same sound and timeline."""

    @property
    def duration(self) -> float:
        """Seconds of one loop."""
        return float(self.sound.shape[1] / VOICE)

    def speaker(self, time: float) -> str:
        """Who speaks at `time` seconds of the loop; empty in pauses."""
        return next((row.speaker for row in self.timeline if row.start <= time < row.end), "")

    def read(self, start: int, end: int) -> Stereo:
        """Samples [start, end) of the endless repetition."""
        return self.sound[:, np.arange(start, end) % self.sound.shape[1]]


PEOPLE = {"Robert": Person("Robert", "m", "rms"), "Susan": Person("Susan", "f", "slt")}

SCRIPT: tuple[Step, ...] = (
    Bed(on=True),
    Say("Susan", "Good evening, and welcome to the program.", 0.5),
    Say("Susan", "Tonight we will talk about the weather, the city and the roads.", 0.6),
    Say("Robert", "Thank you, Susan. It is good to be here.", 0.4),
    Say("Robert", "We have a lot of news this evening.", 0.8),
    Bed(on=False),
    Say("Susan", "Our first story comes from the harbor.", 0.4),
    Say("Susan", "A new bridge was opened there this morning.", 0.6),
    Say("Robert", "The bridge is two miles long, and it took six years to build.", 0.5),
    Say("Robert", "The mayor walked across it with a group of school children.", 0.7),
    Say("Susan", "What did the people on the street say?", 0.4),
    Say("Robert", "Most of them are happy, because the old road was always full.", 0.3),
    Say("Robert", "A bus driver told me that he will save an hour every day.", 0.9),
    Say("Susan", "Not everybody agrees.", 0.3),
    Say("Susan", "The owners of the small boats say that the work was too loud.", 0.5),
    Say("Robert", "That is true, and the city has promised to help them.", 1.1),
    Say("Susan", "Now to the weather.", 0.4),
    Say("Susan", "It was a cold day in the north of the country.", 0.5),
    Say("Robert", "Tomorrow will be sunny, with a chance of rain in the afternoon.", 0.4),
    Say("Robert", "On Sunday a strong wind will come from the west.", 0.6),
    Say("Susan", "So take a warm coat with you when you leave the house.", 1.2),
    Play("jingle", 10.0),
    Say("Robert", "Welcome back. You are listening to the evening report.", 0.5),
    Say("Robert", "With me is Susan, who has visited the new hospital.", 0.6),
    Say("Susan", "Yes, I was there on Monday and on Tuesday.", 0.4),
    Say("Susan", "The doctors showed me the rooms for the youngest patients.", 0.5),
    Say("Robert", "How many people work there?", 0.3),
    Say("Susan", "About four hundred, and they are still looking for more.", 0.4),
    Say("Susan", "One nurse told me that the first night was very quiet.", 0.7),
    Say("Robert", "That will not last for long.", 0.4),
    Say("Robert", "Last winter the old hospital had to send people away.", 0.6),
    Say("Susan", "The new building has three times as many beds.", 0.3),
    Say("Susan", "It also has a garden on the roof, with apple trees.", 1.0),
    Play("silence", 6.0),
    Bed(on=True),
    Say("Robert", "And now some news from the world of sport.", 0.5),
    Say("Robert", "Our team won the second game of the season last night.", 0.4),
    Say("Susan", "I saw it on television, and it was a wonderful evening.", 0.5),
    Say("Susan", "The last goal came one minute before the end.", 0.6),
    Say("Robert", "The captain said that nobody had believed in them.", 0.4),
    Say("Robert", "Next week they will play against the best team in the country.", 0.8),
    Bed(on=False),
    Say("Susan", "Before we go, one more story about a lost dog.", 0.4),
    Say("Susan", "It walked from the mountains to the town and found its family.", 0.5),
    Say("Robert", "How far did it walk?", 0.3),
    Say("Susan", "Almost a hundred miles, in eleven days.", 0.5),
    Say("Robert", "What a brave animal.", 0.4),
    Say("Robert", "I hope that somebody gave it a good dinner.", 0.6),
    Say("Susan", "They did, and now it sleeps in front of the fire.", 0.9),
    Say("Robert", "The police are looking for two men who robbed a bank last night.", 0.4),
    Say("Robert", "If you have seen anything, please call the station.", 0.7),
    Say("Susan", "The schools will be closed on Friday because of the holiday.", 0.5),
    Say("Susan", "The library stays open until six in the evening.", 0.6),
    Say("Robert", "We need to finish here, because our time is over.", 0.4),
    Say("Robert", "Thank you for listening.", 0.5),
    Say("Susan", "Good night, and see you tomorrow.", 1.2),
)


def broadcast(script: Sequence[Step] = SCRIPT, cache: Path = CACHE) -> Broadcast:
    """The script, spoken once and then read from `cache`; RuntimeError where flite is not installed."""
    text = json.dumps([LAYOUT, [[type(step).__name__, asdict(step)] for step in script]])
    digest = hashlib.sha256(text.encode()).hexdigest()[:16]
    sound_file, timeline_file = (cache / "broadcast" / f"{digest}.{suffix}" for suffix in ("npy", "json"))
    if not (sound_file.exists() and timeline_file.exists()):
        sound, timeline = perform(script)
        sound_file.parent.mkdir(parents=True, exist_ok=True)
        rows = json.dumps([asdict(row) for row in timeline], indent=1)
        save(timeline_file, rows.encode())
        with tempfile.NamedTemporaryFile(dir=sound_file.parent, delete=False) as file:
            np.save(file, (sound * 32767).round().astype(np.int16))
        Path(file.name).replace(sound_file)
    sound = np.load(sound_file).astype(np.float32) / np.float32(32767)
    rows = json.loads(timeline_file.read_text())
    return Broadcast("NEWS", sound, tuple(Sentence(**row) for row in rows), digest)


def from_recording(path: Path | str, timeline: Sequence[Sentence] = ()) -> Broadcast:
    """Any audio file as the broadcast's sound, padded with silence to whole segments."""
    sound = load(Path(path))
    digest = hashlib.sha256(sound.tobytes() + repr(timeline).encode()).hexdigest()[:16]
    return Broadcast(Path(path).stem.upper(), padded(sound), tuple(timeline), digest)


def tone(duration: float = 16.0) -> Broadcast:
    """A soft tone with a pip every second: a broadcast that needs no voice, for tests."""
    time = np.arange(round(duration * VOICE)) / VOICE
    wave = 0.1 * np.sin(2 * np.pi * 220 * time) + 0.3 * np.sin(2 * np.pi * 880 * time) * (time % 1 < 0.05)
    return Broadcast("TONE", padded(np.repeat(wave.astype(np.float32)[None], 2, axis=0)), (), f"tone-{duration:g}")


def perform(script: Sequence[Step]) -> tuple[Stereo, list[Sentence]]:
    """Speak the script and lay the music under it."""
    if not shutil.which("flite"):
        raise RuntimeError("flite is not installed: apt-get install flite")
    parts: list[NDArray[np.float32]] = [silence(0.8)]
    beds: list[int] = []
    timeline: list[Sentence] = []
    now = parts[0].size
    for step in script:
        match step:
            case Bed():
                beds.append(now)
                continue
            case Say(who=who, text=text, pause=pause):
                person, speech = PEOPLE[who], speak(PEOPLE[who].voice, text)
                end = now + speech.size
                row = Sentence(round(now / VOICE, 3), round(end / VOICE, 3), person.name, person.gender, text)
                timeline.append(row)
                part = np.concatenate([speech, silence(pause)])
            case Play(what="jingle", duration=duration):
                part = music(duration, JINGLE_LEVEL, seed=2)
            case Play(duration=duration):
                part = silence(duration)
        parts.append(part)
        now += part.size
    mono = np.concatenate(parts)
    bedded = np.zeros_like(mono)
    for low, high in zip(beds[::2], [*beds[1::2], mono.size], strict=False):
        bedded[low:high] = music((high - low) / VOICE, BED_LEVEL, seed=1)[: high - low]
    noise = np.random.default_rng(0).standard_normal((2, mono.size)).astype(np.float32) * np.float32(HISS_LEVEL)
    return padded(mono + bedded + noise), timeline


def speak(voice: str, text: str) -> NDArray[np.float32]:
    """One sentence by flite, 48 kHz, trimmed to the speech and brought to one level."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "speech.wav"
        subprocess.run(["flite", "-voice", voice, "-t", text, "-o", str(file)], check=True, timeout=30)
        pcm = load(file)[0]
    loud = np.flatnonzero(np.abs(pcm) > 0.01)
    pcm = pcm[loud[0] : loud[-1] + 1]
    return np.asarray(pcm * (SPEECH_LEVEL / np.sqrt(np.mean(pcm**2))), np.float32)


def music(duration: float, level: float, seed: int) -> NDArray[np.float32]:
    """Slow chords with a plucked tune above them, fading in and out, `level` rms."""
    random = np.random.default_rng(seed)
    time = np.arange(round(duration * VOICE)) / VOICE
    wave = np.zeros_like(time)
    chords = ((57, 60, 64), (53, 57, 60), (48, 52, 55), (55, 59, 62))
    for bar in range(int(duration / 2) + 1):
        chord = chords[bar % len(chords)]
        low, high = round(bar * 2 * VOICE), min(round((bar + 1) * 2 * VOICE), time.size)
        beat = time[low:high] - bar * 2
        swell = np.minimum(beat / 0.3, 1) * np.minimum((2 - beat) / 0.3, 1)
        for key in chord:
            wave[low:high] += swell * np.sin(2 * np.pi * _pitch(key) * beat)
        for step, key in enumerate(random.choice([k + 12 for k in chord], 4)):
            since = beat - step / 2
            pluck = np.exp(-np.maximum(since, 0) * 6) * (since >= 0)
            wave[low:high] += 1.5 * pluck * np.sin(2 * np.pi * _pitch(int(key)) * since)
    fade = np.minimum(np.minimum(time, duration - time) / 0.8, 1)
    wave *= np.clip(fade, 0, 1)
    return np.asarray(wave * (level / np.sqrt(np.mean(wave**2))), np.float32)


def load(path: Path) -> Stereo:
    """A whole audio file as 48 kHz stereo; mono is heard on both sides at full level."""
    with av.open(str(path)) as container:
        layout = "mono" if container.streams.audio[0].layout.nb_channels == 1 else "stereo"
        resampler = av.AudioResampler("fltp", layout, VOICE)
        frames = [out for frame in container.decode(audio=0) for out in resampler.resample(frame)]
    frames += resampler.resample(None)
    sound = np.concatenate([frame.to_ndarray().astype(np.float32, copy=False) for frame in frames], axis=1)
    return np.broadcast_to(sound, (2, sound.shape[1])).copy()


def silence(duration: float) -> NDArray[np.float32]:
    """`duration` seconds of nothing, mono."""
    return np.zeros(round(duration * VOICE), np.float32)


def padded(sound: NDArray[np.float32]) -> Stereo:
    """Silence added until it is a multiple of GRID seconds."""
    return np.pad(sound, ((0, 0), (0, -sound.shape[1] % (GRID * VOICE))))


def save(path: Path, data: bytes) -> None:
    """Write a file that other processes see whole or not at all."""
    with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
        file.write(data)
    Path(file.name).replace(path)


def _pitch(key: int) -> float:
    """Hz of a MIDI key."""
    return float(440 * 2 ** ((key - 69) / 12))
