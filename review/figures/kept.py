"""Keeps the figures for half a minute, and makes them beside the loop.

To go through 100,000 settled cases takes half a second, in which nobody's page would be answered. So a thread
does it, and everybody who asks within half a minute gets what it found.
"""

import asyncio
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Final

import msgspec

from review.cases.remains import Summary
from review.figures.summary import Figures, figures
from review.queue.answers import Backlog
from schemas.vocabulary import Finding

KEPT_FOR: Final = timedelta(seconds=30)


class Kept(msgspec.Struct, frozen=True):
    """Figures, and when they were made."""

    figures: Figures
    at: datetime


class KeptFigures:
    """The figures of one desk. `settled` gives its settled cases as they are now, `backlog` what waits."""

    def __init__(
        self,
        settled: Callable[[], list[Summary]],
        backlog: Callable[[], list[Backlog]],
        clock: Callable[[], datetime],
        answers: Mapping[str, Finding],
    ) -> None:
        self._settled = settled
        self._backlog = backlog
        self._clock = clock
        self._answers = answers
        self._made: dict[int, tuple[datetime, asyncio.Task[Figures]]] = {}

    async def of(self, days: int) -> Kept:
        """The figures of the last `days`, at most half a minute old."""
        now = self._clock()
        at, making = self._made.get(days, (now, None))
        if making is None or not timedelta(0) <= now - at < KEPT_FOR or _failed(making):
            at, making = now, asyncio.create_task(self._make(days, now))
            self._made[days] = at, making
        # Whoever goes away must not take it from the others who wait for it.
        return Kept(await asyncio.shield(making), at)

    async def _make(self, days: int, now: datetime) -> Figures:
        settled, backlog = self._settled(), self._backlog()
        return await asyncio.to_thread(figures, settled, backlog, now, days=days, answers=self._answers)


def _failed(making: asyncio.Task[Figures]) -> bool:
    return making.done() and (making.cancelled() or making.exception() is not None)
