"""How far a stream has moved, by its labels: from what its bundle expects, or from the labels before them."""

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Literal

import msgspec

from engine.bundle import Bundle
from engine.drift import FEWEST, Expected, Moved, compare, count, expect
from engine.errors import TaskError
from schemas.events import Label
from worker.errors import RecordError
from worker.kafka.record import Record
from worker.registry.framing import schema_id_of
from worker.registry.label_reading import LabelReader
from worker.telemetry.drift import noted_of

Against = Literal["traffic", "past"]


class DriftReport(msgspec.Struct, frozen=True):
    """The newest labels, compared with `expected` messages: the bundle's traffic, or the labels before.

    `left_out` counts records that do not count, by the reason. `said` is what may be concluded.
    """

    against: Against
    expected: int
    labels: int
    first: datetime
    last: datetime
    scored_by: str
    signals: tuple[Moved, ...]
    left_out: dict[str, int]
    said: tuple[str, ...]


def labels_of(
    records: Iterable[Record], reader: LabelReader, task: str, fingerprint: str
) -> tuple[list[Label], Counter[str]]:
    """The labels that a bundle gave, oldest first, each message's once; and what was left out, and why.

    Raises what `reader` does where labels cannot be read that others could.
    """
    found: dict[str, Label] = {}
    left_out: Counter[str] = Counter()
    for record in records:
        try:
            label = reader.read(record.value)
        except RecordError:
            framed = "" if schema_id_of(record.value) is None else ", by the schema that its frame names"
            left_out[f"no label{framed}"] += 1
            continue
        if label.task != task:
            left_out[f"of another task ({label.task})"] += 1
        elif label.bundle != fingerprint:
            left_out["of another bundle"] += 1
        else:
            left_out["repeated"] += label.id in found
            found[label.id] = label
    labels = list(found.values())
    newest = labels[-1].scored_by if labels else None
    kept = [label for label in labels if label.scored_by == newest]
    left_out["scored in another way (precision, limits)"] += len(labels) - len(kept)
    return kept, +left_out


def drift(
    bundle: Bundle, labels: Sequence[Label], last: int, left_out: Counter[str] | None = None
) -> DriftReport:
    """Compare the `last` labels with what the bundle expects; without that, with as many labels before them.

    Raises TaskError: there are too few labels to compare.
    """
    expected = bundle.expected
    now, against = labels[-last:], "traffic"
    if expected is None:
        half = min(last, len(labels) // 2)
        now, past = labels[len(labels) - half :], labels[len(labels) - 2 * half : len(labels) - half]
        expected, against = expect([noted_of(label) for label in past]) if past else None, "past"
    if not now or expected is None:
        raise TaskError(
            f"the topic has {len(labels)} labels of this bundle: nothing can be compared yet"
            + "".join(f"; {number} left out: {why}" for why, number in (left_out or {}).items())
        )
    counts = count([noted_of(label) for label in now], {n: b.edges for n, b in expected.signals.items()})
    moved = tuple(compare(expected.signals, counts))
    return DriftReport(
        against="past" if against == "past" else "traffic",
        expected=expected.messages,
        labels=len(now),
        first=now[0].screened_at,
        last=now[-1].screened_at,
        scored_by=now[-1].scored_by or "",
        signals=moved,
        left_out=dict(left_out or {}),
        said=tuple(_said(moved, expected, len(now), past=against == "past")),
    )


def _said(moved: Sequence[Moved], expected: Expected, labels: int, *, past: bool) -> list[str]:
    said = []
    if min(labels, expected.messages) < FEWEST:
        said.append(f"Nothing is concluded: that takes {FEWEST} messages on either side.")
    elif not any(each.movement in _MOVED for each in moved):
        said.append("The stream is stable: it looks as it did then.")
    said += [
        f"{each.signal} has {_MOVED[each.movement]} (PSI {each.psi:.2f})."
        for each in moved
        if each.movement in _MOVED
    ]
    if any(each.movement == "shifted" for each in moved):
        said.append(
            "The thresholds' bound was stated for a stream like that of then, and may not hold for this one: "
            "see `mimamori miss-rate`, label some of today's messages, and adapt or calibrate again."
        )
    if past:
        said.append(
            "This bundle was adapted without traffic and does not know what to expect, so that the newest "
            "labels were compared with as many before them: a slow drift hardly shows. Adapt with --traffic."
        )
    return said


_MOVED = {"moderate": "moved", "shifted": "shifted"}
