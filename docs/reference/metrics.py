"""Makes `metrics.md`: every metric of worker, desk and HTTP front, from the code that defines them."""

from typing import Final

from docs.reference.markdown import code, paragraphs
from front.metrics import CATALOGUE as FRONT
from review.catalogue import CATALOGUE as DESK
from schemas.metrics import Metric
from worker.telemetry.catalogue import CATALOGUE, catalogue, exposed_name

INTRODUCTION: Final = """# Metrics

The worker serves its metrics for Prometheus on `/metrics` of its health port (`MIMAMORI_HEALTH_PORT`, 8080),
and so does the HTTP front; the review desk has a port of its own for them (`MIMAMORI_REVIEW_HEALTH_PORT`,
6067). No label ever carries message text or an id. Rules, dashboard and [runbook](../how-to/alerts.md) quote
these lists and nothing else; [Watch the workers](../how-to/watch-the-workers.md) says how to install them.

`mimamori topics apply`, the job that creates topics, ends in seconds and has no metrics: where it fails, the
install or upgrade fails with its words.
"""

SHADOW: Final = """## A shadow

A shadow (`mimamori run --shadow`) has the worker's metrics under names of its own, so that no query on
workers counts it, and one more:
"""


def page() -> str:
    """Return the page."""
    lines = [INTRODUCTION, "## The worker\n"]
    for metric in CATALOGUE:
        lines += _of(metric, metric.name)
    lines += [SHADOW]
    shadows = catalogue(shadow=True)
    lines += [
        f"{', '.join(code(exposed_name(one.name, shadow=True)) for one in shadows if one in CATALOGUE)}\n"
    ]
    for metric in shadows:
        if metric not in CATALOGUE:
            lines += _of(metric, exposed_name(metric.name, shadow=True))
    lines.append("## The review desk\n")
    for metric in DESK:
        lines += _of(metric, metric.name)
    lines.append("## The HTTP front\n")
    for metric in FRONT:
        lines += _of(metric, metric.name)
    return "\n".join(lines)


def _of(metric: Metric, name: str) -> list[str]:
    by = f", by {', '.join(map(code, metric.labels))}" if metric.labels else ""
    unit = "" if metric.unit == "one" else f" of {metric.unit}"
    return [
        f"### `{name}`\n",
        f"{paragraphs(metric.meaning)}\n",
        f"{metric.kind}{unit}{by}\n",
        f"*What to do.* {metric.remedy}\n",
    ]
