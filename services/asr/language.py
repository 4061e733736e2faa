"""Which language is spoken, where nobody has declared it: evidence that adds up and fades, and a margin."""

from collections.abc import Mapping, Sequence
from math import log

from pydantic import BaseModel, ConfigDict

AUTO = "auto"
"""In place of a declared language."""
FADE = 0.5
"""What is left of older evidence after a phrase."""
ENOUGH = 2.0
"""Seconds of sound whose evidence counts in full."""
MARGIN = log(20.0)
"""Log-odds by which another language must lead."""
LEAST = 1e-3
"""Probability below which no language falls: one phrase never rules a language out."""


KEPT = 8
"""Languages whose evidence is kept."""


class Belief(BaseModel):
    """The language so far, and the faded log-probabilities of all."""

    model_config = ConfigDict(frozen=True)

    language: str = ""
    """BCP 47; empty while nothing was heard."""
    evidence: dict[str, float] = {}

    def after(self, chances: Mapping[str, float], seconds: float, candidates: Sequence[str]) -> "Belief":
        """The belief behind one more phrase, for which an engine gives the probability of each language.

        Only candidates count, where there are any. A language once believed is left only where another leads by 20:1.
        """
        asked = {name: chances.get(name.partition("-")[0], 0.0) for name in candidates} or dict(chances)
        total = sum(asked.values())
        if total <= 0:
            return self if self.language or not candidates else self.model_copy(update={"language": candidates[0]})
        weight, forgotten = min(1.0, seconds / ENOUGH), min(self.evidence.values(), default=0.0)
        evidence = {
            name: FADE * self.evidence.get(name, forgotten) + weight * log(max(LEAST, chance / total))
            for name, chance in asked.items()
        }
        best = max(evidence, key=lambda name: evidence[name])
        likely = sorted(evidence, key=lambda name: evidence[name])[-KEPT:]
        evidence = {name: evidence[name] for name in {*likely, self.language} & set(evidence)}
        kept = self.language in evidence and evidence[best] - evidence[self.language] < MARGIN
        return Belief(language=self.language if kept else best, evidence=evidence)
