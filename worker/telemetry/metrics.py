"""The catalogue of metrics: each name once, with its unit, its meaning, and what to do if it looks wrong.

Dashboards, alerts and the runbook quote this file. Labels never carry message text or ids.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, overload

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info

from schemas.reasons import DeadLetterReason
from schemas.vocabulary import CaseKind, Reading, Verdict
from worker.telemetry.histogram import BatchHistogram
from worker.telemetry.labels import CacheResult, ResetReason, Station

LATENCY_BUCKETS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800)
SIZE_BUCKETS: Final = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000)


# The metrics' names, by the labels that they have, so that a misspelt name, label or value is a type error.
PlainCounter = Literal[
    "mimamori_records_total",
    "mimamori_unreadable_headers_total",
    "mimamori_deleted_unread_records_total",
    "mimamori_deaths_in_hand_total",
    "mimamori_cache_errors_total",
    "mimamori_aborts_total",
    "mimamori_voided_batches_total",
]
LabelsCounter = Literal["mimamori_labels_total"]
DepthsCounter = Literal["mimamori_labels_by_depth_total"]
CasesCounter = Literal["mimamori_review_cases_total"]
DeadLettersCounter = Literal["mimamori_dead_letters_total"]
ResetsCounter = Literal["mimamori_position_resets_total"]
LookupsCounter = Literal["mimamori_cache_lookups_total"]
CounterName = (
    PlainCounter
    | LabelsCounter
    | DepthsCounter
    | CasesCounter
    | DeadLettersCounter
    | ResetsCounter
    | LookupsCounter
)
GaugeName = Literal["mimamori_in_flight_batches", "mimamori_assigned_partitions", "mimamori_lag_records"]
SpreadName = Literal["mimamori_batch_records", "mimamori_latency_seconds"]  # histograms without labels
StationHistogram = Literal["mimamori_station_seconds"]
EngineInfo = Literal["mimamori_engine_info"]
MetricName = CounterName | GaugeName | SpreadName | StationHistogram | EngineInfo


@dataclass(frozen=True)
class Metric:
    """One metric of the catalogue. `remedy` is what to do when the metric looks wrong."""

    name: MetricName
    kind: type[Counter] | type[Gauge] | type[Histogram] | type[Info]
    meaning: str
    remedy: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()


CATALOGUE: Final = (
    Metric(
        "mimamori_records_total",
        Counter,
        "Records consumed.",
        "Flat while lag grows: see /readyz, then the log.",
    ),
    Metric(
        "mimamori_unreadable_headers_total",
        Counter,
        "Records whose headers cannot be read (a name that is not UTF-8, or over 1,000 of them); they are "
        "screened like any other, without their trace.",
        "Rising: a producer writes broken headers; mend it, traces end there.",
    ),
    Metric(
        "mimamori_labels_total",
        Counter,
        "Labels committed, by verdict.",
        "A share that jumps: look at quality samples, then at what the platform changed.",
        ("verdict",),
    ),
    Metric(
        "mimamori_labels_by_depth_total",
        Counter,
        "Labels committed, by the depth that decided: how many layers of the network were read.",
        "With a cascade, a falling share at the shallow depth: the stream is no longer like the traffic that "
        "it was adapted on, or more of it is at risk, and workers are slower. Adapt again on recent traffic.",
        ("depth",),
    ),
    Metric(
        "mimamori_review_cases_total",
        Counter,
        "Review cases committed, by kind.",
        "More than people can work: raise the upper threshold only with the safety lead.",
        ("kind",),
    ),
    Metric(
        "mimamori_dead_letters_total",
        Counter,
        "Dead letters committed, by reason.",
        "Read the reason; a producer sends what the schema does not allow. unscreenable: nobody screened "
        "these messages, have people read them; many at once: the device is failing, stop and look.",
        ("reason",),
    ),
    Metric(
        "mimamori_deleted_unread_records_total",
        Counter,
        "Records that Kafka deleted before any worker had read them: nobody screened these. An upper bound: "
        "transaction markers, and what compaction took, count as records.",
        "Any: the log names partition and offsets (records_deleted_unread); tell the safety lead, have the "
        "platform send them again, and see why: lag beyond the topic's retention, or deleted by somebody.",
    ),
    Metric(
        "mimamori_position_resets_total",
        Counter,
        "Partitions not read on from their committed offset, by reason (retention, made_again, truncated).",
        "Any that you did not cause: made_again: somebody deleted and made the messages topic again. "
        "truncated: Kafka lost records; switch unclean leader election off. Both are read from their start.",
        ("reason",),
    ),
    Metric(
        "mimamori_deaths_in_hand_total",
        Counter,
        "Partitions taken over from a worker that died with their records in the model's hands.",
        "Rising: a message kills or hangs workers, and is a dead letter after four deaths; died_in_hand in "
        "the log names the offsets. On and on: look at the device and the memory limit.",
    ),
    Metric(
        "mimamori_cache_lookups_total",
        Counter,
        "Texts looked up in the score cache, by result (local, redis, miss).",
        "Only misses with Redis up: workers do not share a cache_secret, or the bundle changed.",
        ("result",),
    ),
    Metric(
        "mimamori_cache_errors_total",
        Counter,
        "Redis calls that failed or timed out; each cost a miss, nothing else.",
        "Rising: check Redis. Screening goes on at the model's speed.",
    ),
    Metric(
        "mimamori_batch_records",
        Histogram,
        "Records in a batch.",
        "Always 1: max_wait_ms is too small.",
        (),
        SIZE_BUCKETS,
    ),
    Metric(
        "mimamori_station_seconds",
        Histogram,
        "Seconds a batch spent in a station (screener, outbox).",
        "Screener high: add workers. Outbox high: look at the brokers.",
        ("station",),
        LATENCY_BUCKETS,
    ),
    Metric(
        "mimamori_latency_seconds",
        Histogram,
        "Seconds from a record's timestamp to its committed outcome.",
        "High with lag: add workers. High without: lower max_wait_ms and max_batch_s, or see to the brokers.",
        (),
        LATENCY_BUCKETS,
    ),
    Metric(
        "mimamori_aborts_total",
        Counter,
        "Transactions aborted and rewound; nothing was lost or repeated.",
        "Steady: brokers are slow or the group rebalances all the time.",
    ),
    Metric(
        "mimamori_voided_batches_total",
        Counter,
        "Batches dropped because their assignment ended; their records are read again.",
        "Steady: batches take longer than revoke_s; lower max_batch_s.",
    ),
    Metric(
        "mimamori_in_flight_batches",
        Gauge,
        "Batches between poll and commit.",
        "Always max_batches: the model or the broker is the limit.",
    ),
    Metric(
        "mimamori_assigned_partitions",
        Gauge,
        "Partitions this worker reads.",
        "0 for long: more workers than partitions, or the group cannot form.",
    ),
    Metric(
        "mimamori_lag_records",
        Gauge,
        "Records behind the end of the assigned partitions (transaction markers count as records).",
        "Growing: add workers, up to the number of partitions.",
    ),
    Metric(
        "mimamori_engine_info",
        Info,
        "What this worker runs, as labels; always 1.",
        "Not the device or the bundle that you deployed: see its settings, and `mimamori doctor`.",
        ("engine", "device", "precision", "bundle", "task", "reading"),
    ),
)


class Metrics:
    """The metrics of one worker, as in the catalogue, with a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._counters: dict[str, Counter] = {}
        self._gauges: dict[str, Gauge] = {}
        self._histograms: dict[str, Histogram] = {}
        self._spreads: dict[str, BatchHistogram] = {}
        self._infos: dict[str, Info] = {}
        for metric in CATALOGUE:
            name, registry = metric.name, self.registry
            if metric.kind is Counter:
                self._counters[name] = Counter(name, metric.meaning, metric.labels, registry=registry)
            elif metric.kind is Gauge:
                self._gauges[name] = Gauge(name, metric.meaning, metric.labels, registry=registry)
            elif metric.kind is Info:
                self._infos[name] = Info(name.removesuffix("_info"), metric.meaning, registry=registry)
            elif not metric.labels:
                self._spreads[name] = BatchHistogram(name, metric.meaning, metric.buckets, registry)
            else:
                self._histograms[name] = Histogram(
                    name, metric.meaning, metric.labels, registry=registry, buckets=metric.buckets
                )

    @overload
    def count(self, name: PlainCounter, amount: float = 1) -> None: ...
    @overload
    def count(self, name: LabelsCounter, amount: float = 1, *, verdict: Verdict) -> None: ...
    @overload
    def count(self, name: DepthsCounter, amount: float = 1, *, depth: str) -> None: ...
    @overload
    def count(self, name: CasesCounter, amount: float = 1, *, kind: CaseKind) -> None: ...
    @overload
    def count(self, name: DeadLettersCounter, amount: float = 1, *, reason: DeadLetterReason) -> None: ...
    @overload
    def count(self, name: ResetsCounter, amount: float = 1, *, reason: ResetReason) -> None: ...
    @overload
    def count(self, name: LookupsCounter, amount: float = 1, *, result: CacheResult) -> None: ...

    def count(self, name: CounterName, amount: float = 1, **labels: str) -> None:
        """Add to a counter."""
        counter = self._counters[name]
        (counter.labels(**labels) if labels else counter).inc(amount)

    def gauge(self, name: GaugeName, value: float) -> None:
        """Set a gauge."""
        self._gauges[name].set(value)

    def observe(self, name: StationHistogram, value: float, *, station: Station) -> None:
        """Add to a histogram that has labels."""
        self._histograms[name].labels(station).observe(value)

    def observe_all(self, name: SpreadName, values: Sequence[float]) -> None:
        """Add to a histogram without labels."""
        self._spreads[name].observe(values)

    def engine(
        self, *, engine: str, device: str, precision: str, bundle: str, task: str, reading: Reading
    ) -> None:
        """Set what runs. `engine` is for people ("openvino bf16, 2 threads"), `bundle` the fingerprint."""
        name: EngineInfo = "mimamori_engine_info"
        self._infos[name].info(
            {
                "engine": engine,
                "device": device,
                "precision": precision,
                "bundle": bundle,
                "task": task,
                "reading": reading,
            }
        )
