"""The front's metrics: each name once, with its meaning and what to do. No label holds a text or a token."""

from collections.abc import Callable
from typing import Final, Literal, get_args

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info

from schemas.metrics import Metric
from schemas.vocabulary import Verdict
from worker.telemetry.catalogue import LATENCY_BUCKETS, SIZE_BUCKETS

Api = Literal["openai", "perspective"]
_EXPECTED: Final = ("200", "401", "500", "503")

CATALOGUE: Final = (
    Metric(
        "mimamori_front_requests_total",
        "counter",
        "requests",
        "Requests answered, by API (openai, perspective) and HTTP status.",
        "503 rising: more texts come than are read within MIMAMORI_FRONT_DEADLINE_S; add fronts. 401: a "
        "client has no token, or an old one. 500: see the log.",
        ("api", "status"),
    ),
    Metric(
        "mimamori_front_request_seconds",
        "histogram",
        "seconds",
        "From a request's last byte to its answer, by API; refused ones count as well.",
        "Near the deadline: the line is long; add fronts, or lower MIMAMORI_FRONT_DEADLINE_S.",
        ("api",),
        LATENCY_BUCKETS,
    ),
    Metric(
        "mimamori_front_texts_total",
        "counter",
        "texts",
        "Texts answered, by verdict. What is not clear must have been escalated by the caller.",
        "A share that jumps: look at what the clients send, then at what the platform changed.",
        ("verdict",),
        values=get_args(Verdict),
    ),
    Metric(
        "mimamori_front_waiting_tokens",
        "gauge",
        "tokens",
        "Tokens, estimated, that wait for the model or are being read.",
        "Never 0: the front is as busy as it can be.",
    ),
    Metric(
        "mimamori_front_batch_texts",
        "histogram",
        "texts",
        "Texts per batch.",
        "Always 1 under load: clients wait for each answer before they send the next text; send lists.",
        (),
        SIZE_BUCKETS,
    ),
    Metric(
        "mimamori_front_reading_seconds",
        "histogram",
        "seconds",
        "How long the model took for a batch.",
        "Far above MIMAMORI_FRONT_BATCH_S: another program uses the device.",
        (),
        LATENCY_BUCKETS,
    ),
    Metric(
        "mimamori_front_engine_info",
        "info",
        "one",
        "What runs: engine, device, precision, bundle, task and reading.",
        "Fronts and workers differ: a roll-out is under way, or was forgotten.",
        ("engine", "device", "precision", "bundle", "task", "reading"),
    ),
)


class FrontMetrics:
    """The metrics of one front, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._counters: dict[str, Counter] = {}
        self._gauges: dict[str, Gauge] = {}
        self._histograms: dict[str, Histogram] = {}
        self._infos: dict[str, Info] = {}
        for one in CATALOGUE:
            name, meaning, registry = one.name, one.meaning, self.registry
            match one.kind:
                case "counter":
                    self._counters[name] = Counter(name, meaning, one.labels, registry=registry)
                    for value in one.values:
                        self._counters[name].labels(value)
                case "gauge":
                    self._gauges[name] = Gauge(name, meaning, one.labels, registry=registry)
                case "info":
                    self._infos[name] = Info(name.removesuffix("_info"), meaning, registry=registry)
                case "histogram":
                    self._histograms[name] = Histogram(
                        name, meaning, one.labels, registry=registry, buckets=one.buckets
                    )

        # From the start: `increase` does not see what a series that is new counted before its first scrape.
        for api in get_args(Api):
            for status in _EXPECTED:
                self._counters["mimamori_front_requests_total"].labels(api, status)

    def answered(self, api: Api, status: int, seconds: float) -> None:
        """Count one request."""
        self._counters["mimamori_front_requests_total"].labels(api, str(status)).inc()
        self._histograms["mimamori_front_request_seconds"].labels(api).observe(seconds)

    def found(self, verdict: Verdict) -> None:
        """Count one text."""
        self._counters["mimamori_front_texts_total"].labels(verdict).inc()

    def watch_line(self, waiting_tokens: Callable[[], float]) -> None:
        """Ask `waiting_tokens` how much waits, whenever the metrics are read."""
        self._gauges["mimamori_front_waiting_tokens"].set_function(waiting_tokens)

    def batch(self, texts: int, seconds: float) -> None:
        """Count one batch."""
        self._histograms["mimamori_front_batch_texts"].observe(texts)
        self._histograms["mimamori_front_reading_seconds"].observe(seconds)

    def engine(self, **facts: str) -> None:
        """Set what runs."""
        self._infos["mimamori_front_engine_info"].info(facts)
