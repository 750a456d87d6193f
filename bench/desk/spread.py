"""Times in milliseconds: the median, the 95th percentile and the worst."""

import statistics
import time
from collections.abc import Callable, Sequence

ROUNDS = 40


def spread(seconds: Sequence[float]) -> dict[str, float]:
    """The median, the 95th percentile and the worst, in milliseconds."""
    ordered = sorted(seconds)
    p95 = ordered[min(int(0.95 * len(ordered)), len(ordered) - 1)]
    times = {"p50": statistics.median(ordered), "p95": p95, "worst": ordered[-1]}
    return {name: round(value * 1000, 1) for name, value in times.items()}


def timed(what: Callable[[], object], rounds: int = ROUNDS) -> dict[str, float]:
    """How long it takes, each time."""
    taken = []
    for _ in range(rounds):
        began = time.perf_counter()
        what()
        taken.append(time.perf_counter() - began)
    return spread(taken)
