"""How many messages a second an engine reads: all that a worker's engine does, and nothing of Kafka."""

import statistics
import time
from collections.abc import Sequence
from typing import Final

from engine.contract import Engine

BATCH: Final = 256
_SECONDS: Final = 0.5


def messages_per_second(engine: Engine, texts: Sequence[str]) -> float:
    """The median over passes through `texts` for half a second. A quick first pass only warms up."""
    began = time.perf_counter()
    first = _seconds(engine, texts)
    if first >= _SECONDS:
        return len(texts) / first
    passes = [_seconds(engine, texts)]
    while time.perf_counter() - began < _SECONDS:
        passes.append(_seconds(engine, texts))
    return len(texts) / statistics.median(passes)


def _seconds(engine: Engine, texts: Sequence[str]) -> float:
    began = time.perf_counter()
    for start in range(0, len(texts), BATCH):
        engine.read(texts[start : start + BATCH])
    return time.perf_counter() - began
