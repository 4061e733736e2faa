"""Did the mesh carry every word? A translation that can be undone, against the words that were committed."""

import asyncio
import random
import signal
from collections import Counter
from collections.abc import Iterable, Sequence

from sacrebleu.metrics.chrf import CHRF

from loadtest.processes import Processes
from loadtest.scores import normal
from services.translator.engines.scripted import undone
from shared.messages import Translation, Utterance

STAGES = ("asr", "segmenter", "speaker", "translator", "tts", "sender")
"""Killed in turn; the downloader's clock is a source's, which `chaos` harms."""
ENVIRONMENT = {"TRANSLATOR_ENGINE": "scripted", "TTS_ENGINE": "scripted"}


def carried(
    words: Sequence[str], utterances: Iterable[Utterance], translations: Sequence[Translation], language: str
) -> dict[str, float]:
    """`transport_chrf` is 100 where the translations, undone, are the committed words; and what is lost or doubled."""
    told = sorted((each for each in translations if each.language == language), key=lambda each: each.start)
    back = " ".join(undone(each.wordings[0].text, language) for each in told)
    counts = Counter(each.utterance for each in told)
    reference, hypothesis = (" ".join(normal(text)) for text in (" ".join(words), back))
    return {
        "transport_chrf": CHRF().corpus_score([hypothesis], [[reference]]).score,
        "lost": sum(not counts[each.utterance] for each in utterances),
        "doubled": sum(count > 1 for count in counts.values()),
    }


async def killing(processes: Processes, every: float, seed: int = 1) -> None:
    """Give each stage a second replica; then kill one of them every so many seconds, and replace it."""
    dice = random.Random(seed)
    for name in STAGES:
        processes.start(f"{name}-2", (name,))
    await processes.ready(120)
    while True:
        await asyncio.sleep(every)
        victim = dice.choice([worker for worker in processes.workers if worker.names[0] in STAGES])
        processes.workers.remove(victim)
        victim.process.send_signal(signal.SIGKILL)
        victim.process.wait()
        processes.start(victim.label, victim.names)
