"""A Prometheus histogram that takes a whole batch in one call, for thousands of records a second.

Values are kept until there are AT_ONCE of them, or somebody asks: small batches, many a second, would cost
more to count one by one than all their records.
"""

import threading
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray
from prometheus_client import CollectorRegistry
from prometheus_client.core import HistogramMetricFamily
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

AT_ONCE: Final = 1000


class BatchHistogram(Collector):
    """Counts how many values are at or below each bound. Thread-safe."""

    def __init__(
        self, name: str, meaning: str, buckets: Sequence[float], registry: CollectorRegistry
    ) -> None:
        """`buckets` are rising upper bounds. A value above the last one counts under +Inf."""
        self._name, self._meaning = name, meaning
        self._bounds = np.array(buckets)
        self._lock = threading.Lock()
        self._counts = np.zeros(len(buckets) + 1, np.int64)
        self._sum = 0.0
        self._uncounted: list[Sequence[float] | NDArray[np.float64]] = []
        self._waiting = 0  # how many values these are
        registry.register(self)

    def observe(self, values: Sequence[float] | NDArray[np.float64]) -> None:
        """Add every value."""
        if not len(values):
            return
        with self._lock:
            self._uncounted.append(values)
            self._waiting += len(values)
            if self._waiting >= AT_ONCE:
                self._count()

    def collect(self) -> Iterable[HistogramMetricFamily]:
        """The current counts, for the registry."""
        with self._lock:
            self._count()
            totals, total = self._counts.cumsum().tolist(), self._sum
        family = HistogramMetricFamily(self._name, self._meaning)
        family.add_metric([], list(zip(self._bound_names(), totals, strict=True)), total)
        yield family

    def _count(self) -> None:
        if not self._waiting:
            return
        values = np.concatenate(self._uncounted)
        self._uncounted, self._waiting = [], 0
        places = np.searchsorted(self._bounds, values)  # the first bound that is not below the value
        self._counts += np.bincount(places, minlength=len(self._counts))
        self._sum += float(values.sum())

    def describe(self) -> Iterable[HistogramMetricFamily]:
        """The histogram's name, for the registry's check that no name is registered twice."""
        return [HistogramMetricFamily(self._name, self._meaning)]

    def _bound_names(self) -> Iterator[str]:
        yield from map(floatToGoString, self._bounds.tolist())
        yield "+Inf"
