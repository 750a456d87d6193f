"""The metrics of a worker, as the catalogue lists them: counted here, exposed by health."""

from functools import partial
from typing import Final, NamedTuple, get_args, overload

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, disable_created_metrics

from engine.drift import Batched, Expected, Values
from schemas.reasons import DeadLetterReason
from schemas.refusals import Reason as Refusal
from schemas.vocabulary import CaseKind, Reading, Verdict
from tracing.spans import SpanOutcome
from worker.telemetry.catalogue import catalogue, exposed_name
from worker.telemetry.drift import DriftWindow
from worker.telemetry.histogram import BatchHistogram
from worker.telemetry.labels import CacheResult, Doubt, PassedOver, ResetReason, SchemaAnswer, Station
from worker.telemetry.late_gauge import LateGauge
from worker.telemetry.names import (
    BundlesCounter,
    CasesCounter,
    CounterName,
    DeadLettersCounter,
    DepthsCounter,
    DoubtsCounter,
    DriftGauge,
    EngineInfo,
    GaugeName,
    LabelsCounter,
    LateGaugeName,
    LookupsCounter,
    PassedOverCounter,
    PlainCounter,
    RefusalsCounter,
    ResetsCounter,
    SchemasCounter,
    SpansCounter,
    SpreadName,
    StationHistogram,
)

# When each counter began: as many series again, which no rule asks for.
disable_created_metrics()  # type: ignore[no-untyped-call]  # ships half of its types


_OF_INFOS: Final = ("task", "bundle")  # what tells the series of an info apart; the rest describes them


class _Drift(NamedTuple):
    task: str
    window: DriftWindow


class Metrics:
    """The metrics of one worker, as in the catalogue, with a registry of their own.

    Those of a `shadow` have names of their own, so that no dashboard and no alert adds them to the workers'.
    """

    def __init__(self, *, shadow: bool = False) -> None:
        self.registry = CollectorRegistry()
        self._counters: dict[str, Counter] = {}
        # By name and labels, each found once: to look one up in prometheus_client costs more than to count.
        self._series: dict[tuple[object, ...], Counter] = {}
        self._gauges: dict[str, Gauge] = {}
        self._late: dict[str, LateGauge] = {}
        self._histograms: dict[str, Histogram] = {}
        self._spreads: dict[str, BatchHistogram] = {}
        self._infos: dict[str, Info] = {}
        self._drift: dict[str, _Drift] = {}  # by the bundle's fingerprint
        for metric in catalogue(shadow=shadow):
            name, registry = metric.name, self.registry
            exposed = exposed_name(name, shadow=shadow)
            match metric.kind:
                case "counter":
                    counter = Counter(exposed, metric.meaning, metric.labels, registry=registry)
                    for value in metric.values:
                        counter.labels(value)
                    self._counters[name] = counter
                case "gauge" if name in get_args(LateGaugeName):
                    self._late[name] = LateGauge(exposed, metric.meaning, registry)
                case "gauge":
                    self._gauges[name] = Gauge(exposed, metric.meaning, metric.labels, registry=registry)
                case "info":
                    about = exposed.removesuffix("_info")
                    self._infos[name] = Info(about, metric.meaning, _OF_INFOS, registry=registry)
                case "histogram" if metric.labels:
                    histogram = Histogram(
                        exposed, metric.meaning, metric.labels, registry=registry, buckets=metric.buckets
                    )
                    for value in metric.values:
                        histogram.labels(value)
                    self._histograms[name] = histogram
                case "histogram":
                    self._spreads[name] = BatchHistogram(exposed, metric.meaning, metric.buckets, registry)

    @overload
    def count(self, name: PlainCounter, amount: float = 1) -> None: ...
    @overload
    def count(self, name: LabelsCounter, amount: float = 1, *, verdict: Verdict) -> None: ...
    @overload
    def count(
        self, name: BundlesCounter, amount: float = 1, *, task: str, bundle: str, verdict: Verdict
    ) -> None: ...
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
    @overload
    def count(self, name: DoubtsCounter, amount: float = 1, *, reason: Doubt) -> None: ...
    @overload
    def count(self, name: PassedOverCounter, amount: float = 1, *, reason: PassedOver) -> None: ...
    @overload
    def count(self, name: RefusalsCounter, amount: float = 1, *, reason: Refusal) -> None: ...
    @overload
    def count(self, name: SpansCounter, amount: float = 1, *, outcome: SpanOutcome) -> None: ...
    @overload
    def count(self, name: SchemasCounter, amount: float = 1, *, outcome: SchemaAnswer) -> None: ...

    def count(self, name: CounterName, amount: float = 1, **labels: str) -> None:
        """Add to a counter."""
        series = self._series.get((name, *labels.items()))
        if series is None:
            counter = self._counters[name]
            series = self._series[name, *labels.items()] = counter.labels(**labels) if labels else counter
        series.inc(amount)

    def gauge(self, name: GaugeName, value: float) -> None:
        """Set a gauge."""
        self._gauges[name].set(value)

    def late_gauge(self, name: LateGaugeName, value: float) -> None:
        """Set a gauge that is not exposed before it is set."""
        self._late[name].set(value)

    def observe(self, name: StationHistogram, value: float, *, station: Station) -> None:
        """Add to a histogram that has labels."""
        self._histograms[name].labels(station).observe(value)

    def observe_all(self, name: SpreadName, values: Values) -> None:
        """Add to a histogram without labels."""
        self._spreads[name].observe(values)

    def expect(self, task: str, bundle: str, expected: Expected, window: int) -> None:
        """From now on compare the last `window` messages that `bundle` labels with those that it expects."""
        self._drift[bundle] = _Drift(task, DriftWindow(expected, window))

    def screened(self, bundle: str, batch: Batched) -> None:
        """Note what was screened with `bundle`, for the metrics that show a change of the stream."""
        self.observe_all("mimamori_risk", batch.values["risk"])
        self.observe_all("mimamori_message_characters", batch.values["characters"])
        for doubt in get_args(Doubt):
            if found := batch.true[doubt]:
                self.count("mimamori_doubts_total", found, reason=doubt)
        drift = self._drift.get(bundle)
        if drift is not None and drift.window.add(batch):
            name: DriftGauge = "mimamori_drift_psi"
            for signal in drift.window.signals:
                gauge = self._gauges[name].labels(drift.task, signal)
                gauge.set_function(partial(drift.window.psi, signal))

    def engine(
        self, *, engine: str, device: str, precision: str, bundle: str, task: str, reading: Reading
    ) -> None:
        """Add what runs: one engine for each bundle.

        `engine` is for people ("openvino bf16, 2 threads"), `bundle` the fingerprint.
        """
        name: EngineInfo = "mimamori_engine_info"
        self._infos[name].labels(task, bundle).info(
            {"engine": engine, "device": device, "precision": precision, "reading": reading}
        )
        by_bundle: BundlesCounter = "mimamori_labels_by_bundle_total"
        for verdict in get_args(Verdict):
            self.count(by_bundle, 0, task=task, bundle=bundle, verdict=verdict)
