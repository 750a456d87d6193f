"""Spans of a worker: one for a batch, and one for each message that its producer has sampled.

    producer's span ──► process messages ──► case opened ──► decided     one trace, for each sampled message
                              │ link
                        process messages, of the batch     a trace of its own, with when it was screened

A message's span is a child of the producer's, so that one trace id leads from there to the reviewer, and its
outcomes name it as their cause. Where there is no span, they name what the message named. Attributes follow
OpenTelemetry's conventions for messaging. None holds a text, an id of the message or of a person, a key, or
what was found: who may read traces need not be who may read labels.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from schemas.headers import find_trace, is_sampled
from tracing.spans import Attributes, Span, Tracer
from worker.stream.batch import Batch, Entry

NAME: Final = "process"


class BatchTraces:
    """Makes the spans of batches. Used by the outbox's thread."""

    def __init__(self, tracer: Tracer | None, group: str) -> None:
        """`tracer`: None, and there are no spans. `group` is the consumer group."""
        self._tracer = tracer
        self._group = group

    @contextmanager
    def committing(self, batch: Batch) -> Iterator[None]:
        """Span a batch and its sampled messages, from when it was opened to the end of this block.

        In the block, each of these entries has its span as its cause. What the block raises is named, by its
        class, as the reason why nothing was committed.
        """
        if self._tracer is None or not batch.entries:
            yield
            return
        spans = _Spans(self._tracer, batch, self._group)
        try:
            yield
        except BaseException as error:
            spans.end(fault=type(error).__name__)
            raise
        spans.end()


class _Spans:
    def __init__(self, tracer: Tracer, batch: Batch, group: str) -> None:
        self._tracer = tracer
        self._since = time.time() - time.monotonic()  # what makes monotonic seconds those since 1970
        began = batch.opened_at + self._since
        self._began_to_commit = time.time()
        self._screened = batch.screened
        sampled = [
            entry
            for entry in batch.entries
            if entry.cause and is_sampled(entry.cause) and _has_outcome(entry)
        ]
        traces = [
            (entry, trace)
            for entry in sampled[: tracer.admits(len(sampled))]
            if (trace := find_trace(entry.cause)) is not None
        ]
        topic = batch.entries[0].record.topic
        shared = attributes(topic, group)
        name = f"{NAME} {topic}"
        self._batch: Span = tracer.of_batch(
            name,
            {**shared, "messaging.batch.message_count": len(batch.entries)},
            [trace for _, trace in traces],
            at=began,
        )
        self._messages: list[Span] = []
        for entry, trace in traces:
            span = tracer.of_message(
                name, "consumer", {**shared, **_place(entry)}, trace, batch=self._batch, at=began
            )
            entry.cause = span.trace.headers
            self._messages.append(span)

    def end(self, fault: str | None = None) -> None:
        """End all of them."""
        now = time.time()
        if self._screened is not None:
            begun, done = self._screened
            self._batch.note("screening", begun + self._since)
            self._batch.note("screened", done + self._since)
        self._batch.note("committing", self._began_to_commit)
        for span in (*self._messages, self._batch):
            span.end(now, fault)


def attributes(topic: str, group: str) -> Attributes:
    """What all spans of one topic's messages say."""
    return {
        "messaging.system": "kafka",
        "messaging.operation.name": NAME,
        "messaging.operation.type": "process",
        "messaging.destination.name": topic,
        "messaging.consumer.group.name": group,
    }


def _place(entry: Entry) -> Attributes:
    record = entry.record
    return {
        "messaging.destination.partition.id": str(record.partition),
        "messaging.kafka.offset": record.offset,
    }


def _has_outcome(entry: Entry) -> bool:
    """Whether it is no record that a shadow passes over."""
    return entry.message is not None or entry.rejection is not None
