"""An engine without a model, which scores a hash of the text: for tests of everything around the engine.

It keeps the batch law and the rest of Engine's contract. The scores have no meaning, but a text always gets
the same.
"""

import hashlib
import time
from collections.abc import Sequence

import numpy as np

from engine.identity import MAX_MESSAGE_TOKENS, PROMPTED, ScoreIdentity
from engine.scores import Scores
from schemas.vocabulary import Reading


class CannedEngine:
    """Answers at once, or after a fixed time per message, like a busy device."""

    device = "canned"
    precision = "none"

    def __init__(
        self, *, levels: int = 3, reading: Reading = "pooled", seconds_per_message: float = 0.0
    ) -> None:
        """`levels` is the number of severity levels of the task."""
        self.reading: Reading = reading
        # The engine reads each text once and whole; its scores depend only on the levels and the reading.
        self.identity = ScoreIdentity(
            f"canned {reading} {levels}", self.precision, PROMPTED, 0.0, 0, MAX_MESSAGE_TOKENS
        )
        self._levels = levels
        self._seconds = seconds_per_message

    def read(self, texts: Sequence[str]) -> list[Scores]:
        """See Engine.read."""
        self._work(texts)
        severities = map(self._severity, texts) if self.reading == "pooled" else [None] * len(texts)
        return [
            Scores(_draw(text, "risk"), severity, 1, truncated=not text)
            for text, severity in zip(texts, severities, strict=True)
        ]

    def grade(self, texts: Sequence[str]) -> list[tuple[float, ...]]:
        """See Engine.grade."""
        self._work(texts)
        return [self._severity(text) for text in texts]

    def describe(self) -> str:
        """See Engine.describe."""
        return "canned scores, no model"

    def _severity(self, text: str) -> tuple[float, ...]:
        weights = np.array([_draw(text, f"level {level}") + 1e-6 for level in range(self._levels)])
        return tuple((weights / weights.sum()).tolist())

    def _work(self, texts: Sequence[str]) -> None:
        if self._seconds:
            time.sleep(self._seconds * len(texts))


def _draw(text: str, what: str) -> float:
    """A number in [0, 1) that depends on the text and on its purpose."""
    digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), person=what.encode(), digest_size=8)
    return int.from_bytes(digest.digest(), "big") / 2**64
