"""Turns records into entries: decodes them, checks the notes of earlier deaths, and asks the cache."""

from collections.abc import Collection, Sequence

import schemas
from worker.errors import RecordError
from worker.kafka.record import Record
from worker.registry.known import KnownSchemas
from worker.settings import Settings
from worker.stream.batch import Entry, estimate_tokens
from worker.stream.decode import decode, within
from worker.stream.in_hand import InHand
from worker.stream.routing import Routing
from worker.stream.suspicion import DETAIL


class Reception:
    """Makes the entries of one worker, and says which pipeline screens each. Used by the polling thread."""

    def __init__(
        self, settings: Settings, routing: Routing, in_hand: InHand, known: KnownSchemas | None = None
    ) -> None:
        """`known` reads what is framed for a schema registry; None where there is no registry."""
        self._settings = settings
        self._known = known
        self._read_framed = None if known is None else known.read
        self._routing = routing
        self._tasks = routing.tasks
        self._in_hand = in_hand

    def ready(self, records: Collection[Record]) -> int:
        """How many of the first records can be decoded now: all of them, without a schema registry."""
        if self._known is None:
            return len(records)
        return self._known.ready(record.value for record in records)

    def wait(self, at_most_s: float) -> None:
        """Wait until more records may be ready, `at_most_s` at most."""
        if self._known is not None:
            self._known.wait(at_most_s)

    def entries(self, records: Sequence[Record]) -> list[Entry]:
        """One entry per record, in order, with the scores that the caches have: one lookup a pipeline."""
        entries = [self.entry(record) for record in records]
        for pipeline, own in self._routing.apart(entries).items():
            readable = [(e, e.message.text) for e in own if e.message is not None]
            found = pipeline.cache.lookup([text for _, text in readable])
            for (entry, text), scores in zip(readable, found, strict=True):
                entry.scores, entry.cached = scores, scores is not None
                if scores is None:
                    entry.tokens = min(self._settings.max_message_tokens, estimate_tokens(text))
        return entries

    def entry(self, record: Record) -> Entry:
        """The entry of one record, before a cache is asked."""
        entry = self._decoded(record)
        if record.headers:
            entry.cause = schemas.trace_headers(record.headers)
        return entry

    def _decoded(self, record: Record) -> Entry:
        if record.fault:
            return Entry(record, rejection=RecordError("unreadable_record", record.fault))
        try:
            message = decode(record.value, self._tasks, self._settings.max_text_chars, self._read_framed)
        except RecordError as rejection:
            return Entry(record, rejection=rejection)
        pipeline = self._routing.of(message)
        if self._in_hand.is_condemned(record):
            condemned = RecordError("unscreenable", DETAIL)
            return Entry(record, rejection=condemned, pipeline=pipeline, unread=message)
        message, cut = within(message, self._settings.max_text_chars)
        return Entry(record, message=message, cut=cut, pipeline=pipeline)
