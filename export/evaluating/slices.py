"""Who is missed more often than others: recall by length, by language, and by any column.

A slice with few messages at risk says nothing about a difference: it is shown, and no conclusion is drawn. Of
the others, each is compared with all messages outside it by Fisher's exact test; the more slices there are,
the stronger the evidence that one of them needs (Bonferroni).
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray
from scipy.stats import fisher_exact

from export.evaluating.figures import Labels
from export.evaluating.intervals import Interval, share

FEWEST: Final = 20  # at risk, in a slice that a conclusion is drawn of
_LENGTHS: Final = (50, 150, 500)  # characters
_BINS: Final = ("up to 50 characters", "51 to 150", "151 to 500", "more than 500")
MOST: Final = 12  # slices of one column; rarer values count together
_SURE: Final = 0.05
_LONGEST: Final = 40

Group = tuple[str, NDArray[np.bool_]]
Conclusion = Literal["too few to conclude", "no difference seen", "found less often", "found more often"]


class Slice(msgspec.Struct, frozen=True):
    """The messages that share a value of a column, `by`.

    `recall` is the share of those at risk that were not cleared, `alarm_rate` that of the others.
    """

    by: str
    value: str
    examples: int
    positives: int
    missed: int
    recall: float | None
    recall_interval: Interval
    alarms: int
    alarm_rate: float | None
    conclusion: Conclusion


def slices(
    columns: Mapping[str, Sequence[str | None]], labels: Labels, cleared: NDArray[np.bool_]
) -> tuple[Slice, ...]:
    """A slice for each value of each column [N], in the order given; a row without one is "not stated"."""
    at_risk = labels == 1
    groups = [
        (by, value, of_it)
        for by, values in columns.items()
        for value, of_it in _gathered(_groups(values), at_risk)
    ]
    large = [
        index for index, (_, _, of_it) in enumerate(groups) if _compared(at_risk & of_it, at_risk & ~of_it)
    ]
    return tuple(
        _slice(by, value, of_it, at_risk, cleared, len(large) if index in large else 0)
        for index, (by, value, of_it) in enumerate(groups)
    )


def by_length(texts: Sequence[str]) -> list[str]:
    """The bin of each text's length in characters."""
    return [_BINS[int(place)] for place in np.searchsorted(_LENGTHS, [len(text) for text in texts])]


def _groups(values: Sequence[str | None]) -> list[Group]:
    names = np.array(["not stated" if value is None else _short(value) for value in values])
    counts = Counter(names.tolist())
    shown = [name for name, _ in counts.most_common(MOST)] if len(counts) > MOST + 1 else list(counts)
    groups = [(name, names == name) for name in sorted(shown, key=_order)]
    if rest := len(counts) - len(shown):
        groups.append((f"{rest} rarer values", ~np.isin(names, shown)))
    return groups


def _gathered(groups: list[Group], at_risk: NDArray[np.bool_]) -> list[Group]:
    """The groups, where those without a message at risk are one: nobody in them can be missed."""
    some = [group for group in groups if (group[1] & at_risk).any()]
    rest = [of_it for _, of_it in groups if not (of_it & at_risk).any()]
    if len(rest) <= 1:
        return groups
    return [*some, (f"{len(rest)} values with nobody at risk", np.logical_or.reduce(rest))]


def _order(value: str) -> tuple[int, str]:
    return (_BINS.index(value), "") if value in _BINS else (len(_BINS), value)


def _compared(inside: NDArray[np.bool_], outside: NDArray[np.bool_]) -> bool:
    return min(int(inside.sum()), int(outside.sum())) >= FEWEST


def _slice(
    by: str,
    value: str,
    of_it: NDArray[np.bool_],
    at_risk: NDArray[np.bool_],
    cleared: NDArray[np.bool_],
    compared: int,
) -> Slice:
    inside, others = at_risk & of_it, ~at_risk & of_it
    positives, missed = int(inside.sum()), int((inside & cleared).sum())
    harmless, alarms = int(others.sum()), int((others & ~cleared).sum())
    conclusion: Conclusion = "too few to conclude"
    if compared:
        outside = at_risk & ~of_it
        table = [
            [positives - missed, missed],
            [int((outside & ~cleared).sum()), int((outside & cleared).sum())],
        ]
        conclusion = "no difference seen"
        if float(fisher_exact(table).pvalue) < _SURE / compared:
            less = missed / positives > table[1][1] / sum(table[1])
            conclusion = "found less often" if less else "found more often"
    return Slice(
        by=by,
        value=value,
        examples=int(of_it.sum()),
        positives=positives,
        missed=missed,
        recall=1 - missed / positives if positives else None,
        recall_interval=share(positives - missed, positives),
        alarms=alarms,
        alarm_rate=alarms / harmless if harmless else None,
        conclusion=conclusion,
    )


def _short(value: str) -> str:
    plain = "".join(letter if letter.isprintable() else "�" for letter in value)
    return plain if len(plain) <= _LONGEST else plain[: _LONGEST - 1] + "…"
