"""What was said of messages, kept by their places in 16 bytes a message: a week of them fits in memory."""

from array import array
from collections import Counter
from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from export.comparing.tally import VERDICTS
from schemas.events import Origin, Thresholds
from schemas.vocabulary import Verdict
from worker.kafka.record import Partition

Ints = NDArray[np.signedinteger[Any]]

_SAMPLED = 4  # beside the verdict's two bits
_SHIFT = 3


class By(msgspec.Struct, frozen=True):
    """Who said it: the bundle, the identity of its scores, and the thresholds."""

    bundle: str
    scored_by: str
    thresholds: Thresholds


class Column(NamedTuple):
    """What was said in one partition, ordered by offset, each once."""

    offsets: NDArray[np.int64]
    codes: Ints
    risks: NDArray[np.float32]

    @property
    def verdicts(self) -> Ints:
        """Each verdict's place in VERDICTS."""
        return self.codes & 3

    @property
    def sampled(self) -> NDArray[np.bool_]:
        """Whether it became a quality sample."""
        return (self.codes & _SAMPLED) > 0

    @property
    def by(self) -> Ints:
        """Each one's number in `Placed.by`."""
        return self.codes >> _SHIFT

    def where(self, rows: NDArray[np.bool_] | NDArray[np.intp]) -> "Column":
        """Some rows, by a mask or by their numbers."""
        return Column(self.offsets[rows], self.codes[rows], self.risks[rows])


class Placed:
    """Verdicts by the messages' origins. Of several for one message, the last that was added counts."""

    def __init__(self) -> None:
        self.by: list[By] = []
        self._numbers: dict[By, int] = {}
        self._parts: dict[Partition, tuple[array[int], array[int], array[float]]] = {}

    def add(self, origin: Origin, verdict: Verdict, risk: float, by: By, *, sampled: bool = False) -> None:
        """Keep what was said of one message."""
        number = self._numbers.setdefault(by, len(self.by))
        if number == len(self.by):
            self.by.append(by)
        place = origin.topic, origin.partition
        part = self._parts.setdefault(place, (array("q"), array("i"), array("f")))
        part[0].append(origin.offset)
        part[1].append(VERDICTS.index(verdict) | sampled * _SAMPLED | number << _SHIFT)
        part[2].append(risk)

    def __len__(self) -> int:
        return sum(len(part[0]) for part in self._parts.values())

    def columns(self) -> dict[Partition, Column]:
        """What was said last of each message, by partition."""
        return {place: _last(*part) for place, part in self._parts.items()}


def _last(offsets: "array[int]", codes: "array[int]", risks: "array[float]") -> Column:
    order = np.argsort(np.frombuffer(offsets, np.int64), kind="stable")
    column = Column(
        np.frombuffer(offsets, np.int64)[order],
        np.frombuffer(codes, np.int32)[order],
        np.frombuffer(risks, np.float32)[order],
    )
    return column.where(np.append(column.offsets[1:] != column.offsets[:-1], True))


def joined(
    first: dict[Partition, Column], second: dict[Partition, Column]
) -> Iterator[tuple[Partition, Column, Column]]:
    """Yield, per partition, the rows of both on the same messages, in the same order."""
    for place in sorted(first.keys() & second.keys()):
        _, of_first, of_second = np.intersect1d(
            first[place].offsets, second[place].offsets, assume_unique=True, return_indices=True
        )
        yield place, first[place].where(of_first), second[place].where(of_second)


def most_frequent(numbers: "Counter[tuple[int, int]]") -> tuple[int, int] | None:
    """The most frequent pair; None where there is none."""
    return max(numbers, key=lambda pair: (numbers[pair], pair), default=None)
