"""What differs where a worker only watches: it screens a sample, and writes shadow labels alone.

A shadow is a process of its own with its own consumer group, bundle and topic, so that neither its faults nor
its load can reach those who write labels. Its stations are the worker's: it commits each shadow label in one
transaction with the offset of its message, so that a restart repeats none and leaves out none.

Its cost is bounded by two settings. `share` draws messages by their ids, so that every shadow draws the same
ones. `at_most` is a rate: what comes faster is passed over and counted, so that a shadow never falls behind.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Final

import schemas
from schemas.events import Label, ShadowLabel
from worker.kafka.record import Outbound, Record
from worker.registry.known import KnownSchemas
from worker.settings import Settings
from worker.stream.batch import Entry
from worker.stream.in_hand import InHand
from worker.stream.outcome import Outcome, OutcomesOf
from worker.stream.reception import Reception
from worker.stream.routing import Routing, draw
from worker.telemetry.labels import PassedOver
from worker.telemetry.metrics import Metrics

_SALT: Final = "shadow:"  # another draw than that of quality samples, which would all be in a small share


class Sampling:
    """Says which messages a shadow screens. Used by one thread."""

    def __init__(self, share: float, at_most: float, clock: Callable[[], float] = time.monotonic) -> None:
        """`share` of the messages, in (0, 1], and `at_most` so many a second; 0 is no limit."""
        self._share = share
        self._rate = at_most
        self._deepest = max(1.0, at_most)  # a second's worth may come at once
        self._left = self._deepest
        self._clock = clock
        self._asked = clock()

    def passes_over(self, message_id: str) -> PassedOver | None:
        """Why the message with this id is not screened; None where it is."""
        if self._share < 1 and draw(_SALT, message_id) >= self._share:
            return "share"
        if not self._rate:
            return None
        now = self._clock()
        self._left = min(self._deepest, self._left + (now - self._asked) * self._rate)
        self._asked = now
        if self._left < 1:
            return "rate"
        self._left -= 1
        return None


class ShadowReception(Reception):
    """Decodes like a worker's, and leaves out what the sampling passes over before cache and model see it."""

    def __init__(
        self,
        settings: Settings,
        routing: Routing,
        in_hand: InHand,
        sampling: Sampling,
        metrics: Metrics,
        known: KnownSchemas | None = None,
    ) -> None:
        super().__init__(settings, routing, in_hand, known)
        self._sampling = sampling
        self._metrics = metrics

    def entry(self, record: Record) -> Entry:
        """The entry of one record: with neither a message nor a rejection where it is passed over."""
        entry = super().entry(record)
        if entry.message is None or (why := self._sampling.passes_over(entry.message.id)) is None:
            return entry
        self._metrics.count("mimamori_passed_over_total", reason=why)
        return Entry(record, cause=entry.cause)


class ShadowOutcomes:
    """Makes shadow labels of the labels that a worker would write: no labels, cases or dead letters."""

    def __init__(self, live: OutcomesOf, topic: str, metrics: Metrics) -> None:
        self._live = live
        self._topic = topic
        self._metrics = metrics

    def of(self, entries: Sequence[Entry]) -> Iterator[tuple[Outcome, Outbound]]:
        """One shadow label for each entry that was screened, and nothing for the others."""
        self._metrics.count(
            "mimamori_passed_over_total", sum(e.rejection is not None for e in entries), reason="rejected"
        )
        for event, outbound in self._live.of([entry for entry in entries if entry.message is not None]):
            if isinstance(event, Label):
                shadow = _shadow(event)
                headers = schemas.event_headers(shadow, schemas.trace_headers(outbound.headers))
                yield shadow, Outbound(self._topic, outbound.key, schemas.encode(shadow), headers)


def _shadow(label: Label) -> ShadowLabel:
    return ShadowLabel(
        id=schemas.shadow_label_id(label.origin),
        message_id=label.message_id,
        origin=label.origin,
        task=label.task,
        would_be=label.verdict,
        risk=label.risk,
        severity=label.severity,
        reasons=label.reasons,
        thresholds=label.thresholds,
        reading=label.reading,
        bundle=label.bundle,
        windows=label.windows,
        truncated=label.truncated,
        cached=label.cached,
        screened_at=label.screened_at,
        scored_by=label.scored_by or "",
    )
