"""The metrics of a desk, as its catalogue lists them."""

import time

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)

from review.catalogue import CATALOGUE
from review.present import Present
from review.queue.live import Capacity

# When each counter began: as many series again, which no rule asks for.
disable_created_metrics()  # type: ignore[no-untyped-call]  # ships half of its types


class DeskMetrics:
    """The metrics of one desk, in a registry of its own, so that two desks in one test never share counts."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._listed = {metric.name.removeprefix("mimamori_review_"): metric for metric in CATALOGUE}
        self.events = self._counter("events_total")
        self.forgotten = self._counter("told_to_forget_total")
        self.held = self._counter("held_events_total")
        self.not_audited = self._counter("not_audited_total")
        self.decisions = self._counter("decisions_total")
        self.webhooks = self._counter("webhooks_total")
        self.webhooks_waiting = self._gauge("webhooks_waiting")
        self.spans = self._counter("spans_total")
        self.sign_ins = self._counter("sign_ins_total")
        self.refused = self._counter("refused_requests_total")
        self.certificate_ends = self._gauge("kafka_certificate_expiry_timestamp_seconds")
        self._open = self._gauge("open_cases")
        self._oldest = self._gauge("oldest_case_age_seconds")
        self._backlog = self._gauge("backlog_cases")
        self._overdue = self._gauge("overdue_cases")
        self._delayed = self._gauge("delayed_cases")
        self._hours_late = self._gauge("delay_hours")
        self._pressure = self._gauge("pressure")
        self._at_work = self._gauge("reviewers_at_work")
        self._share = self._gauge("quality_share")
        self._ready = self._gauge("ready")
        confirm = self._listed.pop("confirm_seconds")
        self.confirm_seconds = Histogram(
            confirm.name, confirm.meaning, registry=self.registry, buckets=confirm.buckets
        )

    def _counter(self, name: str) -> Counter:
        metric = self._listed.pop(name)
        counter = Counter(metric.name, metric.meaning, metric.labels, registry=self.registry)
        for value in metric.values:
            counter.labels(value)
        return counter

    def _gauge(self, name: str) -> Gauge:
        metric = self._listed.pop(name)
        return Gauge(metric.name, metric.meaning, metric.labels, registry=self.registry)

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
