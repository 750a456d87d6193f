"""Screens a range of the messages topic again with another bundle, and sets it against people's decisions."""

import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np

from export.comparing.judged import Judged, Load, cannot_tell, conclude_judged, estimate
from export.comparing.weighted import Rate
from mimamori.comparing.compare import CHUNK
from mimamori.comparing.decided import Decided, Within, labels, read_decisions
from mimamori.comparing.placed import By, Column, Placed, joined
from mimamori.comparing.screen import Screen, Side, entry_of, left_out_as
from mimamori.comparing.sources import Progress
from schemas.events import Message, Origin
from schemas.vocabulary import CaseKind
from worker.errors import RecordError
from worker.kafka.record import Record
from worker.kafka.span import Asked, SpanReader
from worker.registry.label_reading import LabelReader

_SKEW_MS: Final = (
    3_600_000  # producers' clocks set the timestamps of messages, the broker's day those of labels
)
_CLEAR: Final = 0


class Topics(NamedTuple):
    """The topics that hold what became of the messages."""

    labels: str
    cases: str
    decisions: str


class Rescreened(msgspec.Struct, frozen=True):
    """What `mimamori replay --from-topic` found. `spans` are what was read: partition, begin, end.

    `old_miss_rate` and `new_miss_rate` are estimates over all messages of the range; None where they cannot
    be told. `quality_sample_share` is the share of cleared messages that became quality samples, as the
    labels say.
    """

    task: str
    topic: str
    spans: list[tuple[int, int, int]]
    new: Side
    messages: int
    left_out: dict[str, int]
    escalated: Judged
    sampled: Judged
    load: Load
    quality_sample_share: float | None
    old_miss_rate: Rate | None
    new_miss_rate: Rate | None
    conclusion: list[str]
    cannot_tell: list[str]


class Reading(NamedTuple):
    """How values become messages and labels: see `worker.stream.decode`."""

    most_chars: int
    read_framed: Callable[[bytes], Message] | None
    labels: LabelReader


def rescreen(
    config: dict[str, Any], screen: Screen, asked: Asked, topics: Topics, reading: Reading, progress: Progress
) -> Rescreened:
    """Read the range with `screen`, then the decisions, cases and labels on it. Writes and commits nothing.

    Raises BrokerError: as `SpanReader` does. RegistryError, SettingsError: framed records cannot be read.
    """
    left_out: Counter[str] = Counter()
    said = Placed()
    by = By(screen.side.bundle, screen.side.scored_by or "", screen.side.thresholds)
    with SpanReader(config, asked) as reader:
        spans = [(span.partition, span.begin, span.end) for span in reader.spans]
        since = _read(reader, screen, said, by, reading, progress, left_out)
        if reader.deleted:
            left_out["asked for, but deleted (retention)"] = reader.deleted
        if reader.unwritten:
            left_out["asked for, but not written yet"] = reader.unwritten
    within = Within(asked.topic, {partition: (begin, end) for partition, begin, end in spans})
    task = screen.task.name
    decided = read_decisions(
        config,
        Asked(topics.decisions),  # whole: a wrong clock of a message's producer must not hide one
        Asked(topics.cases, since_ms=since),
        task,
        within,
        progress,
        left_out,
    )
    old = Placed()
    of_labels = Asked(topics.labels, since_ms=since)
    for label in labels(config, of_labels, reading.labels, progress, left_out):
        if label.task == task and within.holds(label.origin):
            sampled = "quality_sample" in label.reasons
            old.add(label.origin, label.verdict, label.risk, By("", "", label.thresholds), sampled=sampled)
    return _made(screen, asked.topic, spans, said, old, decided, left_out)


def _read(
    reader: SpanReader,
    screen: Screen,
    said: Placed,
    by: By,
    reading: Reading,
    progress: Progress,
    left_out: Counter[str],
) -> int | None:
    """Screen the records; return a time before their outcomes were written, or None where there are none."""
    earliest = math.inf
    for chunk in _chunks(reader.records()):
        entries = []
        for record in chunk:
            earliest = min(earliest, record.timestamp_ms)
            try:
                task = screen.task.name
                entries.append(entry_of(record, task, reading.most_chars, reading.read_framed))
            except RecordError as error:
                left_out[left_out_as(error)] += 1
        for entry, ruling in zip(entries, screen.rule(entries), strict=True):
            if ruling is None:
                left_out["unscreenable: NEW fails on it, so that a person would see it"] += 1
            else:
                said.add(entry.record.origin, ruling.verdict, ruling.risk, by)
        progress("NEW reads", reader.done, reader.total)
    return None if math.isinf(earliest) else max(0, int(earliest) - _SKEW_MS)


def _made(
    screen: Screen,
    topic: str,
    spans: list[tuple[int, int, int]],
    said: Placed,
    old: Placed,
    decided: dict[Origin, Decided],
    left_out: Counter[str],
) -> Rescreened:
    columns, labelled = said.columns(), old.columns()
    messages = sum(len(column.offsets) for column in columns.values())
    sizes, samples, known = _sizes(joined(columns, labelled))
    if missing := messages - known:
        left_out["messages without a label: deleted by now, or not written yet"] = missing
    counts = {kind: Counter[str]() for kind in ("escalation", "quality_sample")}
    for origin, decision in decided.items():
        code = _verdict_at(columns, origin)
        kind: CaseKind | None = decision.kind
        if code is None:
            left_out["decisions on messages that NEW did not read"] += 1
        elif kind in {"escalation", "quality_sample"}:
            _judge(counts[str(kind)], decision, cleared=code == _CLEAR)
        elif kind == "unread":
            left_out["decisions on records that no model had screened"] += 1
    escalated = _judged(sizes[1], counts["escalation"])
    sampled = _judged(sizes[0], counts["quality_sample"])
    share = samples / sizes[0] if sizes[0] else None
    load = Load(
        messages,
        sizes[1] if known == messages else None,
        sum(int((column.verdicts != _CLEAR).sum()) for column in columns.values()),
    )
    rates = estimate(escalated, sampled)
    return Rescreened(
        screen.task.name,
        topic,
        spans,
        screen.side,
        messages,
        dict(left_out),
        escalated,
        sampled,
        load,
        share,
        *rates,
        conclude_judged(escalated, sampled, load, *rates),
        cannot_tell(escalated, sampled, share),
    )


def _sizes(pairs: Iterator[tuple[Any, Column, Column]]) -> tuple[tuple[int, int], int, int]:
    """Of the messages with a label, count those cleared and escalated, the samples, and all."""
    cleared = escalated = samples = 0
    for _, _, label in pairs:
        clear = label.verdicts == _CLEAR
        cleared, escalated = cleared + int(clear.sum()), escalated + int((~clear).sum())
        samples += int(label.sampled.sum())
    return (cleared, escalated), samples, cleared + escalated


def _verdict_at(columns: dict[tuple[str, int], Column], origin: Origin) -> int | None:
    column = columns.get((origin.topic, origin.partition))
    if column is None:
        return None
    at = int(np.searchsorted(column.offsets, origin.offset))
    if at == len(column.offsets) or column.offsets[at] != origin.offset:
        return None
    return int(column.verdicts[at])


def _judge(counts: Counter[str], decision: Decided, *, cleared: bool) -> None:
    counts["decided"] += 1
    match decision.finding:
        case "at_risk":
            counts["at_risk"] += 1
            counts["missed"] += cleared
        case "not_at_risk":
            counts["dismissed"] += 1
            counts["raised"] += not cleared
        case "unsure":
            counts["unsure"] += 1


def _judged(messages: int, counts: Counter[str]) -> Judged:
    return Judged(
        max(messages, counts["at_risk"] + counts["dismissed"]),
        counts["decided"],
        counts["at_risk"],
        counts["missed"],
        counts["dismissed"],
        counts["raised"],
        counts["unsure"],
    ).with_intervals()


def _chunks(records: Iterator[Record]) -> Iterator[Sequence[Record]]:
    while chunk := list(islice(records, CHUNK)):
        yield chunk
