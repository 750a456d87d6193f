"""The desk's metrics: each name with its meaning and what to do about it. No label holds a text or an id."""

import time

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from review.present import Present


class DeskMetrics:
    """The metrics of one desk, in a registry of its own, so that two desks in one test never share counts."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.events = Counter(
            "mimamori_review_events",
            "Events consumed, by kind and what they did. Any `unreadable`: the log has the place.",
            ["kind", "outcome"],
            registry=self.registry,
        )
        self.forgotten = Counter(
            "mimamori_review_told_to_forget",
            "Records that tell the broker to forget a case, or sweep a partition so that it does.",
            ["what"],
            registry=self.registry,
        )
        self.held = Counter(
            "mimamori_review_held_events",
            "Events that were not believed, by why. Any: another program writes to the topics.",
            ["because"],
            registry=self.registry,
        )
        self.decisions = Counter(
            "mimamori_review_decisions",
            "Decisions taken at this desk, by finding, or `refused` with the status given.",
            ["finding"],
            registry=self.registry,
        )
        self.confirm_seconds = Histogram(
            "mimamori_review_confirm_seconds",
            "From a reviewer's click to the decision standing in the table. Slow: look at the brokers.",
            registry=self.registry,
        )
        self._open = Gauge(
            "mimamori_review_open_cases",
            "Cases waiting for a person. Growing: more reviewers, or a higher threshold.",
            ["task", "kind"],
            registry=self.registry,
        )
        self._oldest = Gauge(
            "mimamori_review_oldest_case_age_seconds",
            "Age of the oldest open case, 0 without one.",
            registry=self.registry,
        )
        self._ready = Gauge(
            "mimamori_review_ready",
            "1 once the table is recovered and partitions are held.",
            registry=self.registry,
        )

    def expose(self, present: Present, *, ready: bool) -> bytes:
        """The metrics page. Gauges are computed when they are asked for."""
        self._open.clear()
        oldest = now = time.time()
        self._ready.set(ready)
        if ready:
            for state in present.waiting.values():
                self._open.labels(state.case.task, state.case.kind).inc()
                oldest = min(oldest, state.case.opened_at.timestamp())
        self._oldest.set(now - oldest)
        return generate_latest(self.registry)
