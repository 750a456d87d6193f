"""Makes `metrics.md`: every metric of worker, desk and HTTP front, from the code that defines them."""

from typing import Final

from prometheus_client.metrics import MetricWrapperBase

from docs.reference.markdown import code, paragraphs
from front.metrics import CATALOGUE as FRONT_CATALOGUE
from front.metrics import FrontMetric
from review.metrics import DeskMetrics
from worker.telemetry.catalogue import CATALOGUE, Metric, catalogue, exposed_name

INTRODUCTION: Final = """# Metrics

The worker serves its metrics for Prometheus on `/metrics` of its health port (`MIMAMORI_HEALTH_PORT`, 8080),
and so does the HTTP front; the review desk has a port of its own for them (`MIMAMORI_REVIEW_HEALTH_PORT`,
6067). No label ever carries message text or an id. The alerts that every installation should have are in
[Watch the workers](../how-to/watch-the-workers.md).
"""

SHADOW: Final = """## A shadow

A shadow (`mimamori run --shadow`) has the worker's metrics under names of its own, so that no query on
workers counts it, and one more:
"""


def page() -> str:
    """Return the page."""
    lines = [INTRODUCTION, "## The worker\n"]
    for metric in CATALOGUE:
        lines += _of_worker(metric, str(metric.name))
    lines += [SHADOW]
    shadows = catalogue(shadow=True)
    lines += [
        f"{', '.join(code(exposed_name(one.name, shadow=True)) for one in shadows if one in CATALOGUE)}\n"
    ]
    for metric in shadows:
        if metric not in CATALOGUE:
            lines += _of_worker(metric, exposed_name(metric.name, shadow=True))
    lines.append("## The review desk\n")
    for name, kind, labels, meaning in desk_metrics():
        lines += _metric(name, kind, labels, meaning)
    lines.append("## The HTTP front\n")
    for of_front in FRONT_CATALOGUE:
        lines += _of_worker(of_front, of_front.name)
    return "\n".join(lines)


def _of_worker(metric: Metric | FrontMetric, name: str) -> list[str]:
    shown = _metric(name, metric.kind.__name__.lower(), metric.labels, metric.meaning)
    return [*shown, f"*What to do.* {metric.remedy}\n"]


def desk_metrics() -> list[tuple[str, str, tuple[str, ...], str]]:
    """Return the name (as exposed), type, labels and meaning of each metric of the desk."""
    found = []
    for metric in vars(DeskMetrics()).values():
        if isinstance(metric, MetricWrapperBase):
            (about,) = metric.describe()
            name = f"{about.name}_total" if about.type == "counter" else about.name
            labels = tuple(metric._labelnames)  # noqa: SLF001 - no public attribute holds them
            found.append((name, about.type, labels, about.documentation))
    return found


def _metric(name: str, kind: str, labels: tuple[str, ...], meaning: str) -> list[str]:
    by = f", by {', '.join(map(code, labels))}" if labels else ""
    return [f"### `{name}`\n", f"{paragraphs(meaning)}\n", f"{kind}{by}\n"]
