"""Runs ways of reading in turns, among them a cascade whose stop is moved and one that keeps no states."""

import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from statistics import median

import msgspec

from engine.contract import Engine
from engine.reading.cascade import CascadeEngine
from engine.reading.engines import PooledEngine


def stopping(engine: Engine, inner: CascadeEngine, stop: float, texts: Sequence[str]) -> None:
    """Read by `engine`, which has `inner` inside, with another stop."""
    kept = inner._cascade  # noqa: SLF001 - a stop for measuring, which no bundle has
    inner._cascade = msgspec.structs.replace(kept, stop=stop)  # noqa: SLF001
    engine.read(texts)
    inner._cascade = kept  # noqa: SLF001


def again(inner: CascadeEngine, alone: Engine, stop: float, texts: Sequence[str]) -> None:
    """What a cascade costs that keeps no hidden states: the rest is read from its first layer."""
    risks = shallow_risks(inner, texts)
    alone.read([text for text, risk in zip(texts, risks, strict=True) if not risk < stop])


def shallow_risks(inner: CascadeEngine, texts: Sequence[str]) -> list[float]:
    """The risks that the shallow depth gives, of every text."""
    reader = inner._reader.on(inner._stacked.shallow)  # noqa: SLF001 - as above
    alone = PooledEngine(inner.identity, inner._shallow, reader)  # noqa: SLF001
    return [scores.risk for scores in alone.read(texts)]


def interleaved(ways: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Medians over the rounds of how many times faster each is than the first, which it stands beside."""
    seconds: dict[str, list[float]] = defaultdict(list)
    for _ in range(rounds + 1):
        for name, run in ways.items():
            began = time.process_time()
            run()
            seconds[name].append(time.process_time() - began)
    first, *others = ways
    print(f"{first}: {median(seconds[first][1:]) * 1e3:.0f} ms of processor time")
    return {
        name: median(one / two for one, two in zip(seconds[first][1:], seconds[name][1:], strict=True))
        for name in others
    }
