"""Counts what two bundles say about the same messages, one message at a time, in little memory."""

from collections import defaultdict
from collections.abc import Iterable
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from export.comparing.paired import Paired, paired
from export.evaluating.intervals import Interval, share
from schemas.vocabulary import Verdict

Table = NDArray[np.int64]  # [3, 3]: OLD's verdict, NEW's verdict
VERDICTS: Final[tuple[Verdict, ...]] = ("clear", "uncertain", "at_risk")  # the riskier, the later


class Said(msgspec.Struct, frozen=True, gc=False):
    """What one bundle says about a message. `risk` is not a number where it is not known."""

    verdict: Verdict
    risk: float


class Change(msgspec.Struct, frozen=True):
    """A message whose verdict changes. `where` is its row, id or place; `text` is None unless asked for."""

    where: str
    old: Verdict
    new: Verdict
    old_risk: float
    new_risk: float
    at_risk: bool | None
    text: str | None


class Agreement(msgspec.Struct, frozen=True):
    """How far both say the same. `same` is the share of equal verdicts, with its exact interval.

    `kappa` is Cohen's: 1 where they always agree, 0 where as often as by chance; None where both always give
    one and the same verdict.
    """

    same: float
    interval: Interval
    kappa: float | None


class Tallied(msgspec.Struct, frozen=True):
    """The counts. `table` [OLD's verdict][NEW's] is in the order clear, uncertain, at_risk.

    `to_people` are how many of the messages each would not clear, OLD first. `misses` (of the messages
    labelled at risk, those that a bundle clears) and `false_alarms` (of the others, those that it calls
    at_risk) are None where nothing of that label was compared.
    """

    messages: int
    table: list[list[int]]
    to_people: tuple[int, int]
    agreement: Agreement | None
    misses: Paired | None
    false_alarms: Paired | None
    changed: int
    changes: list[Change]


class Tally:
    """Counts pairs of verdicts, and keeps up to `listed` messages of each kind of change."""

    def __init__(self, listed: int) -> None:
        self._listed = listed
        self._table = np.zeros((3, 3), np.int64)
        self._labelled = np.zeros((2, 3, 3), np.int64)
        self._changes: dict[tuple[int, int], list[Change]] = defaultdict(list)

    def add(
        self, where: str, old: Said, new: Said, *, at_risk: bool | None = None, text: str | None = None
    ) -> None:
        """Count one message."""
        cell = VERDICTS.index(old.verdict), VERDICTS.index(new.verdict)
        self._table[cell] += 1
        if at_risk is not None:
            self._labelled[int(at_risk)][cell] += 1
        if cell[0] != cell[1] and len(self._changes[cell]) < self._listed:
            self._changes[cell].append(
                Change(where, old.verdict, new.verdict, old.risk, new.risk, at_risk, text)
            )

    def include(self, table: Table, changes: Iterable[Change]) -> None:
        """Count many messages at once, of which some of the changed ones are given."""
        self._table += table
        for change in changes:
            kept = self._changes[VERDICTS.index(change.old), VERDICTS.index(change.new)]
            if len(kept) < self._listed:
                kept.append(change)

    def result(self) -> Tallied:
        """The counts so far. The changes that clear what was not cleared stand first."""
        table, clear, alarm = self._table, 0, 2
        total = int(table.sum())
        return Tallied(
            messages=total,
            table=table.tolist(),
            to_people=(int(table[1:].sum()), int(table[:, 1:].sum())),
            agreement=_agreement(table) if total else None,
            misses=_errors(self._labelled[1], clear),
            false_alarms=_errors(self._labelled[0], alarm),
            changed=total - int(np.trace(table)),
            changes=[
                change
                for cell in sorted(self._changes, key=lambda cell: (cell[1], -cell[0]))
                for change in self._changes[cell]
            ],
        )


def _errors(table: Table, verdict: int) -> Paired | None:
    """Compare both on the messages of one label, on which this verdict is an error."""
    both = int(table[verdict, verdict])
    return paired(
        int(table.sum()), both, int(table[verdict].sum()) - both, int(table[:, verdict].sum()) - both
    )


def _agreement(table: Table) -> Agreement:
    total, same = int(table.sum()), int(np.trace(table))
    chance = float(table.sum(0) @ table.sum(1)) / total**2
    kappa = (same / total - chance) / (1 - chance) if chance < 1 else None
    return Agreement(same / total, share(same, total), kappa)
