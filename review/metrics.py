"""The desk's metrics: each name with its meaning and what to do about it. No label holds a text or an id."""

import time

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from review.present import Present
from review.queue.live import Capacity


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
        self.webhooks = Counter(
            "mimamori_review_webhooks",
            "Webhooks by type: told, failed (will be tried again), given_up. Any given up: see the receiver.",
            ["type", "outcome"],
            registry=self.registry,
        )
        self.webhooks_waiting = Gauge(
            "mimamori_review_webhooks_waiting",
            "Webhooks that were not taken yet. Growing: the receiver is down or too slow.",
            registry=self.registry,
        )
        self.sign_ins = Counter(
            "mimamori_review_sign_ins",
            "Tries to sign in, by outcome. Many `refused` or `provider_down`: the log says why.",
            ["outcome"],
            registry=self.registry,
        )
        self.refused = Counter(
            "mimamori_review_refused_requests",
            "Requests refused before the desk saw them, by HTTP status. Many 429: somebody tries much.",
            ["status"],
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
            "Time since the message of the oldest open case was sent, 0 without one.",
            registry=self.registry,
        )
        self._backlog = Gauge(
            "mimamori_review_backlog_cases",
            "Open cases by level, or by kind where there is no level.",
            ["task", "level"],
            registry=self.registry,
        )
        self._overdue = Gauge(
            "mimamori_review_overdue_cases",
            "Open cases past the deadline of their level. Any severe one: somebody has to look now.",
            ["task", "level"],
            registry=self.registry,
        )
        self._delayed = Gauge(
            "mimamori_review_delayed_cases",
            "Cases that will be late within the forecast, at the present pace. Rising: call more reviewers.",
            ["task", "level"],
            registry=self.registry,
        )
        self._hours_late = Gauge(
            "mimamori_review_delay_hours",
            "How many hours people will wait beyond their deadlines within the forecast, in sum.",
            registry=self.registry,
        )
        self._pressure = Gauge(
            "mimamori_review_pressure",
            "What is due against what can be decided by then. Above 1, deadlines are missed; +Inf: something "
            "waits, and nobody is at work.",
            registry=self.registry,
        )
        self._at_work = Gauge(
            "mimamori_review_reviewers_at_work",
            "Reviewers who took a step on a case lately.",
            registry=self.registry,
        )
        self._share = Gauge(
            "mimamori_review_quality_share",
            "Share of claims that get a quality sample now; lower, within its bounds, under pressure.",
            registry=self.registry,
        )
        self._ready = Gauge(
            "mimamori_review_ready",
            "1 once the table is recovered and partitions are held; 0 while Kafka is gone or refuses it.",
            registry=self.registry,
        )

    def expose(self, present: Present, *, ready: bool) -> bytes:
        """The metrics page. Gauges are computed when they are asked for."""
        for gauge in (self._open, self._backlog, self._overdue, self._delayed):
            gauge.clear()
        now = time.time()
        self._ready.set(ready)
        backlog = present.queue.backlog() if ready else []
        for lane in backlog:
            self._open.labels(lane.task, lane.kind).inc(lane.open)
            self._backlog.labels(lane.task, lane.name).inc(lane.open)
            self._overdue.labels(lane.task, lane.name).inc(lane.overdue)
        self._oldest.set(now - min((lane.oldest for lane in backlog), default=now))
        if ready:
            self._capacity(present.queue.capacity())
        return generate_latest(self.registry)

    def _capacity(self, capacity: Capacity) -> None:
        said = capacity.forecast
        for lane in said.delayed:
            self._delayed.labels(lane.lane.task, lane.lane.name).inc(lane.missed)
        self._hours_late.set(said.hours_late)
        self._pressure.set(said.pressure)
        self._at_work.set(said.pace.at_work)
        self._share.set(1 / capacity.sample_every)
