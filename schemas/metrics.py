"""What a line of a catalogue of metrics says: part of the contract, for dashboards and alerts quote it.

The catalogues are `worker/telemetry/catalogue.py`, `review/catalogue.py` and `front/metrics.py`. Labels never
carry message text or ids.
"""

from dataclasses import dataclass
from typing import Literal

MetricKind = Literal["counter", "gauge", "histogram", "info"]
# What is counted or measured. `ratio` is a part of 1, `index` a figure without a unit, `one` is always 1.
MetricUnit = Literal[
    "batches",
    "calls",
    "cases",
    "characters",
    "connections",
    "dead letters",
    "decisions",
    "events",
    "hours",
    "index",
    "labels",
    "messages",
    "one",
    "partitions",
    "people",
    "ratio",
    "records",
    "requests",
    "risk",
    "seconds",
    "sign-ins",
    "spans",
    "texts",
    "tokens",
    "transactions",
    "webhooks",
]


@dataclass(frozen=True)
class Metric:
    """One metric, as Prometheus calls it. `remedy` is what to do when the metric looks wrong.

    `values` are those that its only label may have, where they are a closed set. They are exposed as 0 from
    the start: `increase` does not see what a series that is new counted before it was first scraped.
    """

    name: str
    kind: MetricKind
    unit: MetricUnit
    meaning: str
    remedy: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()
    values: tuple[str, ...] = ()

    def series(self) -> tuple[str, ...]:
        """The names of the series that queries may use."""
        if self.kind == "histogram":
            return tuple(f"{self.name}_{part}" for part in ("bucket", "count", "sum"))
        return (self.name,)
