"""What people decided about messages: the decisions of a topic, joined with the cases they are about."""

from collections import Counter
from collections.abc import Iterator
from typing import Any, NamedTuple, TypeVar

from mimamori.comparing.sources import Progress
from schemas import decode, origin_of_case
from schemas.codec import CodecError
from schemas.events import DeadLetter, Label, Origin, ReviewCase, ReviewDecision, ShadowLabel
from schemas.vocabulary import CaseKind, Finding
from worker.errors import RecordError
from worker.kafka.record import Record
from worker.kafka.span import Asked, SpanReader
from worker.registry.framing import schema_id_of
from worker.registry.label_reading import LabelReader

E = TypeVar("E", DeadLetter, ReviewCase, ReviewDecision, ShadowLabel)  # what always travels as plain JSON

_SHOWN_EVERY = 1000
_NAMES: dict[type[Any], str] = {
    ReviewCase: "review case",
    ReviewDecision: "review decision",
    ShadowLabel: "shadow label",
    DeadLetter: "dead letter",
}


class Decided(NamedTuple):
    """A person's finding. `kind` says why the case was opened; None where the case is gone or never was."""

    finding: Finding
    kind: CaseKind | None


class Within(NamedTuple):
    """The messages that were asked for: for each partition, the first offset and the one after the last."""

    topic: str
    spans: dict[int, tuple[int, int]]

    def holds(self, origin: Origin) -> bool:
        """Whether a message is among them."""
        begin, end = self.spans.get(origin.partition, (0, 0))
        return origin.topic == self.topic and begin <= origin.offset < end


def read_decisions(
    config: dict[str, Any],
    decisions: Asked,
    cases: Asked,
    task: str,
    within: Within,
    progress: Progress,
    left_out: Counter[str],
) -> dict[Origin, Decided]:
    """The last finding on each message of `within`. What does not count is counted in `left_out`.

    A decision that came twice has one id, and counts once. A later decision on the same case corrects an
    earlier one: the review desk closes a case at the first, but here the newest says best what is true.

    Raises BrokerError: as `SpanReader` does.
    """
    kinds = {
        case.origin: case.kind
        for case in events(config, cases, ReviewCase, progress, left_out)
        if case.task == task and case.kind != "golden" and within.holds(case.origin)
    }
    found: dict[Origin, ReviewDecision] = {}
    for decision in events(config, decisions, ReviewDecision, progress, left_out):
        origin = origin_of_case(decision.case_id)
        earlier = found.get(origin) if origin is not None else None
        if decision.task != task:
            left_out[f"decisions of another task ({decision.task})"] += 1
        elif origin is None:
            left_out["decisions on a case that no worker opened"] += 1
        elif not within.holds(origin):
            left_out["decisions on messages outside of the range"] += 1
        elif earlier is not None and earlier.id == decision.id:
            left_out["decisions that came twice"] += 1
        else:
            if earlier is not None:
                left_out["decisions that a later one corrects"] += 1
            found[origin] = decision
    if alone := sum(origin not in kinds for origin in found):
        left_out["decisions whose case is gone: why it was opened is not known"] = alone
    return {origin: Decided(decision.finding, kinds.get(origin)) for origin, decision in found.items()}


def events(
    config: dict[str, Any], asked: Asked, kind: type[E], progress: Progress, left_out: Counter[str]
) -> Iterator[E]:
    """Yield a topic's events of one kind. What is forgotten, and whatever else is none, is counted."""
    for record in _records(config, asked, progress, left_out):
        if record.value is None and kind is ReviewCase:
            left_out[f"forgotten since ({asked.topic})"] += 1
            continue
        try:
            yield decode(kind, record.value or b"")
        except CodecError:
            left_out[f"no {_NAMES[kind]} ({asked.topic})"] += 1


def labels(
    config: dict[str, Any], asked: Asked, reader: LabelReader, progress: Progress, left_out: Counter[str]
) -> Iterator[Label]:
    """Yield a topic's labels, plain and framed. What is none is counted.

    Raises what `LabelReader.read` does where labels cannot be read that others could.
    """
    for record in _records(config, asked, progress, left_out):
        try:
            yield reader.read(record.value)
        except RecordError:
            framed = "" if schema_id_of(record.value) is None else ", by the schema that its frame names"
            left_out[f"no label{framed} ({asked.topic})"] += 1


def _records(
    config: dict[str, Any], asked: Asked, progress: Progress, left_out: Counter[str]
) -> Iterator[Record]:
    with SpanReader(config, asked) as reader:
        for number, record in enumerate(reader.records()):
            if number % _SHOWN_EVERY == 0:
                progress(f"read {asked.topic}", reader.done, reader.total)
            yield record
        if reader.deleted:
            left_out[f"deleted while it was read ({asked.topic})"] += reader.deleted
