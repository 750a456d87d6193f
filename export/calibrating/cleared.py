"""Which messages a lower threshold clears. Everything that counts misses or what people see asks here."""

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from engine.contract import Engine
from engine.errors import BundleError
from engine.scores import Scores

Array = NDArray[np.float64]

_BATCH: Final = 64


def hurdles(scores: Sequence[Scores]) -> Array:
    """What `lower` must be above for each message to be cleared [N]: cleared is exactly `hurdle < lower`.

    It is the risk, but infinite for what the policy never clears, whatever its risk: a message that was not
    read completely, is disguised beyond reading, or is in a language that the task does not cover.
    """
    never = [bool(each.truncated or each.obfuscated or each.language) for each in scores]
    return np.where(never, np.inf, risks_of(scores))


def risks_of(scores: Sequence[Scores]) -> Array:
    """The risks [N]."""
    return np.array([each.risk for each in scores], np.float64)


def read_all(engine: Engine, texts: Sequence[str], progress: Callable[[int, int], None]) -> list[Scores]:
    """Score `texts` in batches.

    Raises BundleError where a risk is not a number from 0 to 1: nothing can be stated of such a bundle.
    """
    scores: list[Scores] = []
    for start in range(0, len(texts), _BATCH):
        progress(start, len(texts))
        scores += engine.read(texts[start : start + _BATCH])
    risks = risks_of(scores)
    if len(broken := np.flatnonzero(~((risks >= 0.0) & (risks <= 1.0)))):
        raise BundleError(
            f"the bundle gives {len(broken)} of {len(texts)} texts no risk from 0 to 1, first text "
            f"{broken[0] + 1}: check it with `mimamori doctor`, or adapt it again"
        )
    progress(len(texts), len(texts))
    return scores
