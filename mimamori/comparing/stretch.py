"""Finds the newest stretch of labels in which a canary had one share, and sets both bundles' labels apart.

Whether a message is a canary's is a draw from its id (`worker.stream.routing`): below the share it is the
canary's, above it the other's. So the labels themselves say which of two bundles is the canary, what its
share was, and since when. Going back from the newest label, the stretch ends where no one share explains
both bundles' messages, as where the share was another or the canary was not there yet, or where a third
bundle comes up. A message counts once, by its id, and nobody has to say which restart was when.
"""

from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Final, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from engine.errors import TaskError
from mimamori.comparing.decided import Within
from schemas.events import Label, Origin
from worker.stream.routing import canary_draw

NEWEST: Final = 1000  # labels that a task's bundles are looked for in


class Side(msgspec.Struct, frozen=True):
    """What one bundle made of its messages: each in exactly one verdict, and in at most one severity."""

    bundle: str
    messages: int
    verdicts: dict[str, int]
    severities: dict[str, int]
    truncated: int

    @property
    def sent(self) -> int:
        """How many it sent to people: at risk or uncertain. Whether people agree is another question."""
        return self.messages - self.verdicts.get("clear", 0)


class Stretch(NamedTuple):
    """Both sides of a stretch. `new_of` says, of whatever people may see, whether it is the canary's."""

    task: str
    share: float
    since: datetime
    whole: bool  # whether it begins where the share began, and not where somebody began to read
    old: Side
    new: Side
    new_of: dict[Origin, bool]
    cleared: frozenset[Origin]  # of these, what was cleared: quality samples
    within: Within


class _Rows:
    """The labels of one task, a few numbers each."""

    def __init__(self) -> None:
        self.bundles: dict[str, int] = {}
        self.labels: list[tuple[float, float, int, str, str | None, bool]] = []
        self.seen: list[Origin | None] = []  # where a person may see it

    def add(self, label: Label) -> None:
        bundle = self.bundles.setdefault(label.bundle, len(self.bundles))
        at, draw = label.screened_at.timestamp(), canary_draw(label.message_id)
        level = None if label.severity is None else label.severity.level
        self.labels.append((at, draw, bundle, label.verdict, level, label.truncated))
        asks = label.verdict != "clear" or "quality_sample" in label.reasons
        self.seen.append(label.origin if asks else None)


def find_stretch(
    labels: Iterable[Label], task: str | None, left_out: Counter[str], *, from_start: bool
) -> Stretch:
    """Find it, and count both sides. `from_start`: the labels are all that there ever were.

    Raises TaskError, one line: there are no labels, they are of several tasks and `task` names none, the
    newest are of one bundle alone, or of more than two.
    """
    of_tasks: dict[str, _Rows] = {}
    for label in labels:
        if task in {None, label.task}:
            of_tasks.setdefault(label.task, _Rows()).add(label)
    if len(of_tasks) != 1:
        raise TaskError(
            f"the labels are of several tasks, {', '.join(sorted(of_tasks))}: choose one with --task"
            if of_tasks
            else "there is no label to count: see --labels, --last and --task"
        )
    ((name, rows),) = of_tasks.items()
    at, draws = (np.array([row[column] for row in rows.labels], np.float64) for column in (0, 1))
    bundles = np.array([row[2] for row in rows.labels], np.int64)
    back = np.argsort(-at, kind="stable")
    known = list(rows.bundles)
    newest = list(dict.fromkeys(known[number] for number in bundles[back[:NEWEST]]))
    if len(newest) > 2:  # noqa: PLR2004 - a bundle and its canary
        raise TaskError(
            f"the newest {min(NEWEST, len(back)):,} labels of {name} are of {len(newest)} bundles, "
            f"{', '.join(each[:12] for each in newest)}: wait until the restart is over, or see which "
            "workers have other settings; nothing is said of two canaries"
        )
    length, low = _consistent(draws[back], bundles[back])
    inside = back[:length]
    pair = [known[number] for number in dict.fromkeys(bundles[inside].tolist())]
    if len(pair) < 2:  # noqa: PLR2004 - a bundle and its canary
        raise TaskError(
            f"no canary: the newest labels of {name} are all of {pair[0][:12]}. Is MIMAMORI_CANARY_SHARE "
            "above 0, and did its workers start?"
        )
    is_new = bundles[inside] == low
    share = float(draws[inside][is_new].max() + draws[inside][~is_new].min()) / 2
    _, once = np.unique(draws[inside], return_index=True)
    if repeated := length - len(once):
        left_out["labels of a message that has one in this stretch already"] = repeated
    kept = inside[once]
    old, new = (_side(rows, kept, number) for number in (_other(bundles[inside], low), low))
    whose = {o: bool(bundles[row] == low) for row in kept if (o := rows.seen[row]) is not None}
    cleared = frozenset(
        o for row in kept if (o := rows.seen[row]) is not None and rows.labels[row][3] == "clear"
    )
    return Stretch(
        name,
        share,
        datetime.fromtimestamp(float(at[inside].min()), UTC),
        length < len(back) or from_start,
        old,
        new,
        whose,
        cleared,
        _within(whose),
    )


def _consistent(draws: NDArray[np.float64], bundles: NDArray[np.int64]) -> tuple[int, int]:
    """For how many labels, from the newest on, one share explains two bundles; and the bundle below it."""
    first = bundles[0]
    others = np.flatnonzero(bundles != first)
    if not len(others):
        return len(bundles), int(first)
    second = bundles[others[0]]
    thirds = np.flatnonzero((bundles != first) & (bundles != second))
    end = int(thirds[0]) if len(thirds) else len(bundles)
    reach = [
        (
            np.minimum.accumulate(np.where(bundles == each, draws, np.inf)),
            np.maximum.accumulate(np.where(bundles == each, draws, -np.inf)),
        )
        for each in (first, second)
    ]
    first_below = reach[0][1] < reach[1][0]
    second_below = reach[1][1] < reach[0][0]
    apart = (first_below | second_below)[:end]
    length = end if apart.all() else int(np.argmin(apart))
    return length, int(first if first_below[length - 1] else second)


def _other(bundles: NDArray[np.int64], low: int) -> int:
    return int(bundles[bundles != low][0])


def _side(rows: _Rows, kept: NDArray[np.int64], number: int) -> Side:
    mine = [row for place in kept.tolist() if (row := rows.labels[place])[2] == number]
    return Side(
        list(rows.bundles)[number],
        len(mine),
        dict(Counter(row[3] for row in mine)),
        dict(Counter(row[4] for row in mine if row[4] is not None)),
        sum(row[5] for row in mine),
    )


def _within(origins: Iterable[Origin]) -> Within:
    """The messages that people may have decided on, all of one topic."""
    spans: dict[int, tuple[int, int]] = {}
    topic = ""
    for origin in origins:
        topic = origin.topic
        low, high = spans.get(origin.partition, (origin.offset, origin.offset + 1))
        spans[origin.partition] = min(low, origin.offset), max(high, origin.offset + 1)
    return Within(topic, spans)
