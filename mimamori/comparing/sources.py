"""Where the messages of a comparison come from: labelled examples, a file of messages, or a topic."""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from engine.errors import SettingsError, TaskError
from export.checking import normal
from export.examples import LabelledExample
from export.rows import Separator
from mimamori.comparing.screen import entry_of, entry_of_row, left_out_as
from mimamori.replay import read_messages
from schemas.events import Message
from worker.errors import RecordError
from worker.kafka.span import Asked, SpanReader
from worker.stream.batch import Entry

Progress = Callable[[str, int, int], None]


class Item(NamedTuple):
    """One message. `where` is its row, id or place; `at_risk` its label, if it has one."""

    where: str
    entry: Entry
    at_risk: bool | None = None


class Source(NamedTuple):
    """Messages that can be read more than once; each reading counts why records are not among them.

    `size` is about how many there are, or 0 where that is not known before.
    """

    name: str
    items: Callable[[Counter[str]], Iterator[Item]]
    size: int = 0


def of_examples(name: str, examples: Sequence[LabelledExample], task: str, most_chars: int) -> Source:
    """Labelled examples. A row that repeats an earlier one is left out: counted twice, it would prove more.

    Raises TaskError: two rows label the same text differently.
    """
    first: dict[bytes, tuple[int, bool]] = {}
    kept: list[tuple[int, LabelledExample]] = []
    for row, example in enumerate(examples, start=1):
        digest = hashlib.sha256(normal(example.text).encode("utf-8", "surrogatepass")).digest()
        earlier = first.setdefault(digest, (row, example.at_risk))
        if earlier[1] != example.at_risk:
            raise TaskError(
                f"{name}: examples {earlier[0]} and {row} are one text with two labels: decide which"
            )
        if earlier[0] == row:
            kept.append((row, example))

    def items(left_out: Counter[str]) -> Iterator[Item]:
        if repeated := len(examples) - len(kept):
            left_out["repeats an earlier row"] = repeated
        for row, example in kept:
            where = example.id or f"row {row}"
            message = Message(where[:256], example.text, language=example.language)
            entry = _try(left_out, partial(entry_of_row, message, row, task, most_chars))
            if entry is not None:
                yield Item(where, entry, example.at_risk)

    return Source(name, items, len(kept))


def of_messages(
    path: Path, separator: Separator | None, tell: Callable[[str], None], task: str, most_chars: int
) -> Source:
    """A file of messages, read again at each pass. Raises TaskError naming row, field and remedy."""
    told = False

    def items(left_out: Counter[str]) -> Iterator[Item]:
        nonlocal told
        quiet, told = told, True
        messages = read_messages(path, separator, (lambda _: None) if quiet else tell)
        for row, message in enumerate(messages, start=1):
            entry = _try(left_out, partial(entry_of_row, message, row, task, most_chars))
            if entry is not None:
                yield Item(message.id, entry)

    return Source(str(path), items)


def of_topic(
    config: dict[str, Any],
    asked: Asked,
    task: str,
    most_chars: int,
    read_framed: Callable[[bytes], Message] | None = None,
) -> Source:
    """A range of a topic; `read_framed` reads framed messages, None where there is no registry.

    Raises BrokerError: as `SpanReader` does.
    """
    # Each pass must read the same records, while the topic grows.
    with SpanReader(config, asked) as reader:
        spans = reader.spans
    fixed = [Asked(asked.topic, (span.partition,), span.begin, span.end) for span in spans]

    def items(left_out: Counter[str]) -> Iterator[Item]:
        gone = sum(span.deleted for span in spans)
        for one in fixed:
            with SpanReader(config, one) as reader:
                for record in reader.records():
                    entry = _try(left_out, partial(entry_of, record, task, most_chars, read_framed))
                    if entry is not None:
                        yield Item(f"{record.topic}:{record.partition}:{record.offset}", entry)
                gone += reader.deleted
        if gone:
            left_out["asked for, but deleted (retention)"] = gone
        if unwritten := sum(span.unwritten for span in spans):
            left_out["asked for, but not written yet"] = unwritten

    return Source(_named(asked.topic, spans), items, sum(span.end - span.begin for span in spans))


def asked_of(given: str, *, from_offset: int | None, to_offset: int | None, last: int | None) -> Asked:
    """What `--from-topic NAME[:partition,…]` and the offsets beside it ask for.

    Raises SettingsError: a partition is no number, or the offsets contradict each other.
    """
    topic, _, named = given.partition(":")
    parts = [part for part in named.replace(":", ",").split(",") if part]
    if not topic or not all(part.isascii() and part.isdigit() for part in parts):
        raise SettingsError(f"--from-topic {given}: write NAME, or NAME:0,3 for some of its partitions")
    if last is not None and from_offset is not None:
        raise SettingsError("--last and --from-offset say the same thing differently: give one of them")
    if from_offset is not None and to_offset is not None and from_offset >= to_offset:
        raise SettingsError(f"--to-offset {to_offset} must be above --from-offset {from_offset}")
    return Asked(topic, tuple(sorted({int(part) for part in parts})), from_offset, to_offset, last)


def _named(topic: str, spans: Sequence[Any]) -> str:
    ranges = ", ".join(f"{span.partition}: {span.begin} to {span.end}" for span in spans[:6])
    more = f" and {len(spans) - 6} partitions more" if len(spans) > 6 else ""  # noqa: PLR2004 - as many as fit a line
    return f"{topic}, offsets of partition {ranges}{more}"


def _try(left_out: Counter[str], take_in: Callable[[], Entry]) -> Entry | None:
    try:
        return take_in()
    except RecordError as error:
        left_out[left_out_as(error)] += 1
        return None
