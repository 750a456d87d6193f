"""A gauge without a sample until it has a value: the 0 before would be taken for a measurement."""

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Metric
from prometheus_client.metrics_core import GaugeMetricFamily
from prometheus_client.registry import Collector


class LateGauge(Collector):
    """Exposes its name and meaning at once, and its value from the first `set` on. One thread sets it."""

    def __init__(self, name: str, meaning: str, registry: CollectorRegistry) -> None:
        self._name = name
        self._meaning = meaning
        self._value: float | None = None
        registry.register(self)

    def set(self, value: float) -> None:
        """Set the value."""
        self._value = value

    def collect(self) -> Iterator[Metric]:
        """What is exposed."""
        family = GaugeMetricFamily(self._name, self._meaning)
        if self._value is not None:
            family.add_metric([], self._value)
        yield family
