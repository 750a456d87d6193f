"""Figures are made beside the loop, once for everybody who asks within half a minute."""

import asyncio
import threading
from collections.abc import Iterator
from datetime import timedelta

import pytest

from review.cases.remains import Summary
from review.figures.kept import KEPT_FOR, KeptFigures
from tests.unit.review.figures.test_figures import NOW, _case


class Slow(list[Summary]):
    """Settled cases that take until `go` to be gone through."""

    def __init__(self, cases: list[Summary], go: threading.Event) -> None:
        super().__init__(cases)
        self._go = go

    def __iter__(self) -> Iterator[Summary]:
        if not self._go.wait(10):
            raise TimeoutError("the loop has not gone on")
        return super().__iter__()


def test_the_loop_goes_on_while_they_are_made_and_all_who_ask_get_the_same() -> None:
    go, reading, read = threading.Event(), asyncio.Event(), list[int]()
    now = NOW

    def settled() -> list[Summary]:
        read.append(1)
        reading.set()
        return Slow([_case("at_risk"), _case("not_at_risk")], go)

    async def scene() -> None:
        nonlocal now
        kept = KeptFigures(settled, list, lambda: now, {})
        asking = [asyncio.create_task(kept.of(7)) for _ in range(3)]
        asking[0].cancel()  # somebody has left the page
        await reading.wait()
        go.set()  # were they made on the loop, this line would not be reached in time
        one, other = [await each for each in asking[1:]]
        assert one is not other
        assert one.figures is other.figures
        assert one.at == NOW
        assert one.figures.escalations_at_risk is not None
        assert one.figures.escalations_at_risk.cases == 2
        assert len(read) == 1
        now += KEPT_FOR - timedelta(seconds=1)
        assert (await kept.of(7)).figures is one.figures
        assert (await kept.of(30)).figures is not one.figures
        now += timedelta(seconds=1)
        later = await kept.of(7)
        assert (later.at, later.figures is one.figures) == (now, False)

    asyncio.run(scene())


def test_what_went_wrong_is_not_kept() -> None:
    faults = [ValueError("no cases")]

    def settled() -> list[Summary]:
        if faults:
            raise faults.pop()
        return [_case("at_risk")]

    async def scene() -> None:
        kept = KeptFigures(settled, list, lambda: NOW, {})
        with pytest.raises(ValueError, match="no cases"):
            await kept.of(7)
        assert (await kept.of(7)).figures.escalations_at_risk is not None

    asyncio.run(scene())
