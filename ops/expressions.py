"""Checks an expression of PromQL against the catalogues, and fills in what the data files leave open.

Prometheus calls an expression with a misspelt metric valid, and finds nothing for ever. So each metric, label
and value of a closed set that an expression names must be listed, and each recorded series recorded.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final

from prometheus_client.utils import floatToGoString

from front.metrics import CATALOGUE as FRONT
from ops.plan import PlanError
from review.catalogue import CATALOGUE as DESK
from schemas.metrics import Metric
from worker.telemetry.catalogue import CATALOGUE as WORKER
from worker.telemetry.catalogue import LATENCY_BUCKETS, SHADOW_PREFIX

LISTED: Final[Mapping[str, Metric]] = {
    series: metric for metric in (*WORKER, *FRONT, *DESK) for series in metric.series()
}
OF_THE_DESK: Final = "mimamori_review_"
OF_THE_FRONT: Final = ("mimamori_front_", "mimamori:front_")
# What Prometheus adds to every series.
ADDED: Final = {"job", "instance", "pod"}

_NAMED = re.compile(r"\b(?P<name>mimamori[_:][a-z0-9_:]+)(?:\{(?P<matchers>[^}]*)\})?")
_MATCHER = re.compile(r'(?P<label>\w+)\s*(?:=~|!~|!=|=)\s*"(?P<value>[^"]*)"')
_BY = re.compile(r"\b(?:by|on|without|ignoring)\s*\(([^)]*)\)")


def within(expr: str, seconds: float) -> str:
    """Put the objective's seconds in place of WITHIN. Raises PlanError: the histogram has no such bucket."""
    if seconds not in LATENCY_BUCKETS:
        known = ", ".join(map(str, LATENCY_BUCKETS))
        raise PlanError(f"within_seconds is {seconds}, which no bucket ends with: choose one of {known}")
    bucket: str = floatToGoString(seconds)  # type: ignore[no-untyped-call]  # ships half of its types
    return expr.replace("WITHIN", bucket)


def selecting(expr: str, matcher: Callable[[str], str]) -> str:
    """Add `matcher(name)` to what selects each series that the expression names."""

    def narrowed(found: re.Match[str]) -> str:
        matchers = [part for part in (matcher(found["name"]), found["matchers"]) if part]
        return f"{found['name']}{{{', '.join(matchers)}}}"

    return _NAMED.sub(narrowed, expr)


def faults(expr: str, recorded: Iterable[str] = ()) -> Iterator[str]:
    """One line for each name, label and value that is not in the catalogues, and is not `recorded`."""
    known, labels = set(recorded), set(ADDED)
    for found in _NAMED.finditer(expr):
        name = found["name"]
        if name in known:
            continue
        metric = LISTED.get(name)
        if metric is None:
            why = "recorded" if ":" in name else "in a catalogue"
            yield f"{name} is not {why}"
            continue
        own = {*metric.labels, *(["le"] if name.endswith("_bucket") else [])}
        labels |= own
        for matcher in _MATCHER.finditer(found["matchers"] or ""):
            yield from _unlisted(metric, own, matcher["label"], matcher["value"])
    if SHADOW_PREFIX in expr:
        yield "a shadow's metrics belong to no rule: nothing waits for it"
    for listed in _BY.findall(expr):
        wrong = {label.strip() for label in listed.split(",")} - labels - {""}
        yield from (f"no metric of it has the label {label}" for label in sorted(wrong))


def _unlisted(metric: Metric, own: set[str], label: str, value: str) -> Iterator[str]:
    if label not in own | ADDED:
        yield f"{metric.name} has no label {label}"
    elif label == "le":
        if value not in map(floatToGoString, metric.buckets):
            yield f"{metric.name} has no bucket {value}"
    elif metric.values and label in metric.labels:
        for one in value.split("|"):
            if one not in metric.values:
                yield f"{metric.name} has no {label} {one}: there are {', '.join(metric.values)}"
