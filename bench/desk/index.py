"""Measures the index alone: filled with made cases, and asked as pages and claims ask it."""

import random
import time
from datetime import UTC, datetime, timedelta

from bench.desk.made import cases
from bench.desk.spread import spread, timed
from review.cases.state import CaseState
from review.people import ROLES, Person
from review.queue.live import LiveQueue
from review.queue.order import Filter
from review.queue.rules import Rules

ANA = Person("ana", "Ana", frozenset(ROLES))


def measure_index(count: int, seed: int) -> dict[str, dict[str, float]]:
    """The index alone, in this process."""
    states = [CaseState(case, 0) for case in cases(count, seed)]
    now = datetime.now(UTC)
    queue = LiveQueue(Rules(), lambda: now)
    began = time.perf_counter()
    for state in states:
        queue.put(state)
    filling = (time.perf_counter() - began) / count
    draw = random.Random(seed)
    wanted = [
        Filter(),
        Filter(task="stress"),
        Filter(overdue=True),
        Filter(level="high"),
        Filter(overdue=False),
    ]

    def page(offset: int) -> object:
        return queue.page(draw.choice(wanted), ANA, offset=offset, limit=50, levels=True)

    def take() -> None:
        if (case_id := queue.take_next(ANA, Filter())) is not None:
            queue.give_back(case_id)

    def later() -> object:
        nonlocal now
        now += timedelta(minutes=1)
        return queue.capacity()

    queue.capacity()
    return {
        "put one case": spread([filling]),
        "the first page": timed(lambda: page(0)),
        "a page anywhere": timed(lambda: page(draw.randrange(count))),
        "counts": timed(lambda: queue.counts(draw.choice(wanted), ANA)),
        "the place of a case": timed(lambda: queue.position(draw.choice(states).case.id, Filter(), ANA)),
        "the next case": timed(take),
        "the forecast, which is made every half minute": timed(later, 5),
    }
