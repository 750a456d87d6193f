"""Two bundles read the same messages: by turns, or one after the other where memory is short."""

import hashlib
import statistics
import time
from array import array
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Final

import msgspec

from engine.errors import TaskError
from engine.policy import Ruling
from export.comparing.conclusion import conclude
from export.comparing.tally import VERDICTS, Said, Tallied, Tally
from mimamori.comparing.screen import Screen, Side, let_go, require_one_task
from mimamori.comparing.sources import Item, Progress, Source
from worker.stream.batch import Entry

CHUNK: Final = 256
_ROUNDS: Final = 5  # of both bundles, at least, for a speed
_FAILED: Final = len(VERDICTS)

Open = Callable[[], Screen]


class Speed(msgspec.Struct, frozen=True):
    """Messages a second, medians over chunks that both read in turns. `ratio` is NEW's over OLD's.

    `low` and `high` are the ratio's quartiles.
    """

    old: float
    new: float
    ratio: float
    low: float
    high: float


class Comparison(msgspec.Struct, frozen=True):
    """What `mimamori compare` found. `speed` is None where the bundles did not read in turns.

    `adapted_on_these` names the sides that were adapted on the very examples: their figures flatter.
    `worse` says why NEW must not pass; it is None where nobody asked.
    """

    task: str
    source: str
    old: Side
    new: Side
    left_out: dict[str, int]
    counts: Tallied
    speed: Speed | None
    conclusion: list[str]
    adapted_on_these: list[str] = []
    worse: list[str] | None = None


def compare(
    old: Open, new: Open, source: Source, progress: Progress, *, listed: int, texts: bool
) -> Comparison:
    """Read every message with both bundles, which are in memory together, and are timed in turns.

    Raises SettingsError: the tasks differ.
    """
    sides = old(), new()
    require_one_task(sides[0].task.name, sides[1].task.name)
    tally, left_out = Tally(listed), Counter[str]()
    clock = _Clock()
    for number, chunk in enumerate(_chunks(source.items(left_out))):
        entries = [item.entry for item in chunk]
        rulings = clock.both(sides, entries, swapped=bool(number % 2))
        for item, *pair in zip(chunk, *rulings, strict=True):
            _count(tally, left_out, item, _code(pair[0]), _code(pair[1]), texts=texts)
        progress("both read", (number + 1) * CHUNK, source.size)
    return _made(sides[0], sides[1], source, left_out, tally, clock.speed(sides))


def compare_in_turn(
    old: Open, new: Open, source: Source, progress: Progress, *, listed: int, texts: bool
) -> Comparison:
    """The same with one bundle in memory at a time: the messages are read twice, and speeds are not compared.

    Raises TaskError: the messages are not the same at the second time.
    """
    first = old()
    kept, risks, seen = array("B"), array("f"), hashlib.blake2b()
    for chunk in _chunks(source.items(Counter())):
        for item, ruling in zip(chunk, first.rule([item.entry for item in chunk]), strict=True):
            code, risk = _code(ruling)
            kept.append(code)
            risks.append(risk)
            seen.update(item.where.encode("utf-8", "surrogatepass") + b"\n")
        progress("OLD reads", len(kept), source.size)
    side, task = first.side, first.task.name
    del first
    let_go()
    second = new()
    require_one_task(task, second.task.name)
    tally, left_out, again, at = Tally(listed), Counter[str](), hashlib.blake2b(), 0
    for chunk in _chunks(source.items(left_out)):
        for item, ruling in zip(chunk, second.rule([item.entry for item in chunk]), strict=True):
            if at == len(kept):
                raise TaskError(f"{source.name} grew while it was read: compare again")
            again.update(item.where.encode("utf-8", "surrogatepass") + b"\n")
            _count(tally, left_out, item, (kept[at], risks[at]), _code(ruling), texts=texts)
            at += 1
        progress("NEW reads", at, len(kept))
    if again.digest() != seen.digest():
        raise TaskError(f"{source.name} changed while it was read: compare again")
    counted = tally.result()
    return Comparison(task, source.name, side, second.side, dict(left_out), counted, None, conclude(counted))


class _Clock:
    """Times both bundles on the same chunks."""

    def __init__(self) -> None:
        self._seconds: list[tuple[int, float, float]] = []
        self._sample: list[Entry] = []

    def both(
        self, sides: tuple[Screen, Screen], entries: Sequence[Entry], *, swapped: bool
    ) -> tuple[list[Ruling | None], list[Ruling | None]]:
        """Let both read, the one that is first by turns, since the second finds the caches warm."""
        rulings: list[list[Ruling | None]] = [[], []]
        spent = [0.0, 0.0]
        for which in (1, 0) if swapped else (0, 1):
            began = time.perf_counter()
            rulings[which] = sides[which].rule(entries)
            spent[which] = time.perf_counter() - began
        self._seconds.append((len(entries), spent[0], spent[1]))
        self._sample = list(entries) if len(entries) >= len(self._sample) else self._sample
        return rulings[0], rulings[1]

    def speed(self, sides: tuple[Screen, Screen]) -> Speed | None:
        """The medians; of a few chunks, one is read again some times, since a first reading also warms up."""
        if not self._sample:
            return None
        whole = [timed for timed in self._seconds if timed[0] == len(self._sample)]
        if len(whole) < _ROUNDS:
            self._seconds = []
            for round_ in range(_ROUNDS):
                self.both(sides, self._sample, swapped=bool(round_ % 2))
            whole = self._seconds
        ratios = [old / new for _, old, new in whole]
        low, _, high = statistics.quantiles(ratios, n=4)
        return Speed(
            statistics.median(count / old for count, old, _ in whole),
            statistics.median(count / new for count, _, new in whole),
            statistics.median(ratios),
            low,
            high,
        )


def _made(
    old: Screen, new: Screen, source: Source, left_out: Counter[str], tally: Tally, speed: Speed | None
) -> Comparison:
    counted = tally.result()
    return Comparison(
        old.task.name, source.name, old.side, new.side, dict(left_out), counted, speed, conclude(counted)
    )


def _code(ruling: Ruling | None) -> tuple[int, float]:
    return (_FAILED, float("nan")) if ruling is None else (VERDICTS.index(ruling.verdict), ruling.risk)


def _count(
    tally: Tally,
    left_out: Counter[str],
    item: Item,
    old: tuple[int, float],
    new: tuple[int, float],
    *,
    texts: bool,
) -> None:
    failed = [name for name, (code, _) in (("OLD", old), ("NEW", new)) if code == _FAILED]
    if failed:  # a dead letter and a case for a person: no verdict, and nothing that is cleared
        left_out[f"unscreenable: {' and '.join(failed)} fails on it, so that a person would see it"] += 1
        return
    text = item.entry.message.text if texts and item.entry.message is not None else None
    said = Said(VERDICTS[old[0]], old[1]), Said(VERDICTS[new[0]], new[1])
    tally.add(item.where, *said, at_risk=item.at_risk, text=text)


def _chunks(items: Iterator[Item]) -> Iterator[list[Item]]:
    while chunk := list(islice(items, CHUNK)):
        yield chunk
