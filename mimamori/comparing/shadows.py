"""Labels against what a shadow would have said, joined by the messages' places: no model reads anything."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np

from engine.errors import SettingsError
from export.comparing.conclusion import conclude
from export.comparing.tally import VERDICTS, Change, Tally
from mimamori.comparing.compare import Comparison
from mimamori.comparing.decided import events
from mimamori.comparing.decided import labels as labels_in
from mimamori.comparing.placed import By, Column, Placed, joined, most_frequent
from mimamori.comparing.screen import Side
from mimamori.comparing.sources import Progress
from schemas.events import Label, ShadowLabel
from worker.kafka.record import Partition
from worker.kafka.span import Asked
from worker.registry.label_reading import LabelReader


def compare_shadow(
    config: dict[str, Any],
    labels: str,
    shadows: str,
    reader: LabelReader,
    progress: Progress,
    *,
    listed: int,
    task: str | None = None,
) -> Comparison:
    """Compare the labels of a topic with the shadow labels of another, message by message.

    Where bundles or thresholds changed while the shadow ran, the pair with the most messages in common is
    compared, and the rest counted as left out.

    Raises SettingsError: there are no shadow labels, or of several tasks and `task` names none. BrokerError:
    as `SpanReader` does. And what `reader` raises.
    """
    left_out = Counter[str]()
    said, tasks = Placed(), Counter[str]()
    for shadow in events(config, Asked(shadows), ShadowLabel, progress, left_out):
        tasks[shadow.task] += 1
        if task is None or shadow.task == task:
            said.add(shadow.origin, shadow.would_be, shadow.risk, _by(shadow))
    wanted = task or _only(tasks, shadows)
    live = Placed()
    for label in labels_in(config, Asked(labels), reader, progress, left_out):
        if label.task != wanted:
            left_out[f"of another task ({label.task})"] += 1
            continue
        live.add(label.origin, label.verdict, label.risk, _by(label))
    pairs = list(joined(live.columns(), said.columns()))
    chosen = most_frequent(_pairs(pairs))
    if chosen is None:
        raise SettingsError(
            f"{labels} and {shadows} have no message in common: did the shadow read the same messages topic, "
            "and does the labels topic still hold that time?"
        )
    tally = _tally(pairs, chosen, left_out, listed)
    counted = tally.result()
    if alone := len(said) - sum(len(shadow.offsets) for _, _, shadow in pairs):
        left_out["shadow labels without a label: deleted by now, not written yet, or written twice"] = alone
    return Comparison(
        wanted,
        f"{labels} and {shadows}",
        _side(live.by[chosen[0]]),
        _side(said.by[chosen[1]]),
        dict(left_out),
        counted,
        None,
        conclude(counted),
    )


def _by(event: Label | ShadowLabel) -> By:
    return By(event.bundle, event.scored_by or "", event.thresholds)


def _only(tasks: Counter[str], topic: str) -> str:
    if not tasks:
        raise SettingsError(f"{topic} holds no shadow labels: start `mimamori run --shadow` first")
    if len(tasks) > 1:
        raise SettingsError(
            f"{topic} holds shadow labels of {', '.join(sorted(tasks))}: choose one with --task"
        )
    return next(iter(tasks))


def _pairs(pairs: list[tuple[Partition, Column, Column]]) -> Counter[tuple[int, int]]:
    """How many messages each pair of versions has in common."""
    found: Counter[tuple[int, int]] = Counter()
    for _, old, new in pairs:
        numbers, counts = np.unique(np.stack([old.by, new.by]), axis=1, return_counts=True)
        for (first, second), count in zip(numbers.T.tolist(), counts.tolist(), strict=True):
            found[first, second] += count
    return found


def _tally(
    pairs: list[tuple[Partition, Column, Column]],
    chosen: tuple[int, int],
    left_out: Counter[str],
    listed: int,
) -> Tally:
    tally = Tally(listed)
    for place, old, new in pairs:
        mask = (old.by == chosen[0]) & (new.by == chosen[1])
        if others := int((~mask).sum()):
            left_out["of another bundle, or under other thresholds"] += others
        table = np.zeros((3, 3), np.int64)
        old_, new_ = old.where(mask), new.where(mask)
        np.add.at(table, (old_.verdicts, new_.verdicts), 1)
        tally.include(table, _changes(place, old_, new_, listed))
    return tally


def _changes(place: Partition, old: Column, new: Column, listed: int) -> Iterator[Change]:
    for first, before in enumerate(VERDICTS):
        for second, after in enumerate(VERDICTS):
            if first == second:
                continue
            rows = np.flatnonzero((old.verdicts == first) & (new.verdicts == second))[:listed]
            for row in rows.tolist():
                where = f"{place[0]}:{place[1]}:{old.offsets[row]}"
                risks = float(old.risks[row]), float(new.risks[row])
                yield Change(where, before, after, *risks, at_risk=None, text=None)


def _side(by: By) -> Side:
    return Side(by.bundle, by.scored_by or None, by.thresholds)
