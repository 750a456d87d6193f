"""Reads a disguised text twice: as it is, and as a person would read it. The higher risk counts.

texts ──► [text, text, …, variant, variant]  one call of the inner engine  ──► the riskier of each pair
"""

import math
from collections.abc import Sequence
from typing import TypeVar

import msgspec

from engine.contract import Engine
from engine.disguise.original import in_original
from engine.disguise.variant import Variant, vary
from engine.identity import ScoreIdentity
from engine.language import LanguageDetector
from engine.policy import expected_severity, primary_language
from engine.scores import Scores
from schemas.vocabulary import Reading

Answer = TypeVar("Answer")


class TwiceReadingEngine:
    """An engine around another one. It keeps all promises of Engine, and is not thread-safe either.

    Scores are those of the riskier reading. `windows` is the sum of both readings, `truncated` is set where
    either of them left something out, and `depth` is that of the deeper one. Highlights are places in the
    original text, whichever reading they come from. The language is that of the text as a person would read
    it.
    """

    def __init__(self, engine: Engine, languages: Sequence[str]) -> None:
        """`engine` reads; `languages` are those that the task covers, and none means any."""
        self.device = engine.device
        self.precision = engine.precision
        self.reading: Reading = engine.reading
        self.identity: ScoreIdentity = engine.identity
        self._engine = engine
        self._detector = LanguageDetector({primary_language(tag) for tag in languages})

    def read(self, texts: Sequence[str]) -> list[Scores]:
        """See Engine.read."""
        variants = [vary(text) for text in texts]
        pairs = _pairs(self._engine.read(_both(texts, variants)), variants)
        seen = [variant.text or text for text, variant in zip(texts, variants, strict=True)]
        return list(map(_judged, texts, variants, pairs, self._detector.foreign(seen)))

    def grade(self, texts: Sequence[str]) -> list[tuple[float, ...]]:
        """See Engine.grade. In the prompted reading, the graver of the two answers counts."""
        if self.reading == "pooled":
            return [scores.severity or () for scores in self.read(texts)]
        variants = [vary(text) for text in texts]
        pairs = _pairs(self._engine.grade(_both(texts, variants)), variants)
        return [first if second is None else max(first, second, key=_gravity) for first, second in pairs]

    def describe(self) -> str:
        """See Engine.describe."""
        return self._engine.describe()


def _judged(
    text: str, variant: Variant, readings: tuple[Scores, Scores | None], language: str | None
) -> Scores:
    first, second = readings
    if second is None and not variant.obfuscated and language is None:  # most messages
        return first
    higher, highlights = first, first.highlights
    if second is not None and _urgency(first.risk) < _urgency(second.risk):
        higher, highlights = second, second.highlights and in_original(text, variant, second.highlights)
    return msgspec.structs.replace(
        higher,
        windows=first.windows + (second.windows if second else 0),
        truncated=first.truncated or (second is not None and second.truncated),
        obfuscated=variant.obfuscated,
        language=language,
        # Cleared at the shallow depth only if both readings were.
        depth=first.depth if second is None else _deeper(first.depth, second.depth),
        highlights=highlights,
    )


def _both(texts: Sequence[str], variants: Sequence[Variant]) -> list[str]:
    return [*texts, *(variant.text for variant in variants if variant.text is not None)]


def _pairs(answers: list[Answer], variants: Sequence[Variant]) -> list[tuple[Answer, Answer | None]]:
    """Pair each text's answer with its variant's, if it has one.

    Raises ValueError: wrong number of answers.
    """
    asked = len(variants) + sum(variant.text is not None for variant in variants)
    if len(answers) != asked:
        raise ValueError(f"the engine answered {asked} texts with {len(answers)} scores")
    seconds = iter(answers[len(variants) :])
    return [
        (first, None if variant.text is None else next(seconds))
        for first, variant in zip(answers, variants, strict=False)
    ]


def _deeper(one: int | None, other: int | None) -> int | None:
    return None if one is None or other is None else max(one, other)


def _urgency(risk: float) -> float:
    return math.inf if math.isnan(risk) else risk  # not-a-number is read by people: nothing fails open


def _gravity(severity: tuple[float, ...]) -> float:
    return _urgency(expected_severity(severity))
