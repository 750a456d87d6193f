"""Another bundle as it is: the prompted reading of a larger model or of FLAN-T5, or one adapted elsewhere."""

import time
from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from engine.contract import Engine
from export.examples import LabelledExample

_BATCH: Final = 64


class BundleWay:
    """Reads texts with the bundle's own engine. It learns nothing: what it was adapted on is in it."""

    fewest: Final = 0

    def __init__(self, name: str, engine: Engine) -> None:
        """`engine` is the bundle's, `name` what the report calls it."""
        self.name = f"{name}, {engine.reading}"
        self.messages_per_second: float | None = None
        self._engine = engine
        self._known: dict[str, float] = {}

    def risks(
        self,
        examples: Sequence[LabelledExample],  # noqa: ARG002 - see Way
        texts: Sequence[str],
        count: Callable[[int], None],
    ) -> NDArray[np.float64]:
        """See Way.risks."""
        unread = [text for text in dict.fromkeys(texts) if text not in self._known]
        count(len(texts) - len(unread))
        began = time.perf_counter()
        for start in range(0, len(unread), _BATCH):
            batch = unread[start : start + _BATCH]
            self._known |= {
                text: scores.risk for text, scores in zip(batch, self._engine.read(batch), strict=True)
            }
            count(len(batch))
        if unread:
            self.messages_per_second = len(unread) / max(time.perf_counter() - began, 1e-9)
        return np.array([self._known[text] for text in texts], np.float64)
