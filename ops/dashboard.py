"""Makes Grafana's JSON of the dashboard. Each panel says in its description what it shows."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from ops.expressions import OF_THE_DESK, OF_THE_FRONT, faults, selecting
from ops.plan import Board, Objective, Panel, PlanError, Row

COLUMNS: Final = 24
_HEIGHT: Final = {"stat": 4, "timeseries": 7}
_UNITS: Final = {"ratio": "percentunit", "seconds": "s", "per second": "cps"}
_SOURCE: Final = {"type": "prometheus", "uid": "${source}"}
_VARIABLES: Final = (
    ("workers", "Workers", "label_values(mimamori_assigned_partitions, job)"),
    ("fronts", "HTTP fronts", "label_values(mimamori_front_waiting_tokens, job)"),
    ("desks", "Desks", "label_values(mimamori_review_ready, job)"),
)

_BUDGET = re.compile(r"\bBUDGET:(\w+)")  # the error budget of an objective

Json = dict[str, Any]


def dashboard(board: Board, objectives: Sequence[Objective], recorded: Iterable[str]) -> Json:
    """The dashboard.

    Raises PlanError: a query names what no catalogue lists and is not `recorded`, or a panel names no
    objective of these.
    """
    recorded = set(recorded)
    promised = {one.name: one for one in objectives}
    for row in board.rows:
        for panel in row.panels:
            if panel.promise not in {None, *promised}:
                raise PlanError(f"{panel.title}: there is no objective {panel.promise}")
            for query in panel.queries:
                if found := list(faults(query.expr, recorded)):
                    raise PlanError(f"{panel.title}: {'; '.join(found)}")
    return {
        "uid": "mimamori",
        "title": board.title,
        "tags": ["mimamori"],
        "schemaVersion": 39,
        "editable": True,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "timezone": "",
        "templating": {"list": [_source(), *(_variable(*each) for each in _VARIABLES)]},
        "panels": _numbered(_placed(board.rows, promised)),
    }


def _source() -> Json:
    return {"name": "source", "label": "Prometheus", "type": "datasource", "query": "prometheus"}


def _variable(name: str, label: str, query: str) -> Json:
    return {
        "name": name,
        "label": label,
        "type": "query",
        "datasource": _SOURCE,
        "query": {"query": query, "refId": name},
        "refresh": 2,
        "includeAll": True,
        "allValue": ".*",
        "multi": True,
        "current": {"text": ["All"], "value": ["$__all"]},
    }


def _placed(rows: Iterable[Row], promised: Mapping[str, Objective]) -> Iterator[Json]:
    """Rows below one another, and the panels of each from left to right."""
    y = 0
    for row in rows:
        yield {
            "type": "row",
            "title": row.title,
            "collapsed": False,
            "panels": [],
            **_place(0, y, COLUMNS, 1),
        }
        y, x, tallest = y + 1, 0, 0
        for panel in row.panels:
            if x + panel.width > COLUMNS:
                y, x, tallest = y + tallest, 0, 0
            height = _HEIGHT[panel.kind]
            yield _panel(panel, promised) | _place(x, y, panel.width, height)
            x, tallest = x + panel.width, max(tallest, height)
        y += tallest


def _place(x: int, y: int, width: int, height: int) -> Json:
    return {"gridPos": {"x": x, "y": y, "w": width, "h": height}}


def _numbered(panels: Iterable[Json]) -> list[Json]:
    return [{"id": number, **panel} for number, panel in enumerate(panels, start=1)]


def _panel(panel: Panel, promised: Mapping[str, Objective]) -> Json:
    defaults: Json = {"unit": _UNITS.get(panel.unit, "short"), "min": 0}
    if panel.promise is not None:
        defaults |= {"decimals": 2, "max": 1}
        defaults["thresholds"] = _turning("red", promised[panel.promise].share, "green")
    elif panel.most is not None:
        defaults["thresholds"] = _turning("green", panel.most + 1, "red")
    return {
        "type": panel.kind,
        "title": panel.title,
        "description": panel.about,
        "datasource": _SOURCE,
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "options": _options(panel),
        "targets": [
            {
                "refId": chr(ord("A") + number),
                "datasource": _SOURCE,
                "expr": selecting(
                    _BUDGET.sub(lambda of: f"{promised[of[1]].budget:g}", query.expr), _of_this_job
                ),
                "legendFormat": query.legend or "__auto",
            }
            for number, query in enumerate(panel.queries)
        ],
    }


def _turning(first: str, value: float, then: str) -> Json:
    return {"mode": "absolute", "steps": [{"color": first, "value": None}, {"color": then, "value": value}]}


def _options(panel: Panel) -> Json:
    if panel.kind == "stat":
        return {"colorMode": "value", "graphMode": "none", "reduceOptions": {"calcs": ["lastNotNull"]}}
    return {"legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi"}}


def _of_this_job(name: str) -> str:
    if name.startswith(OF_THE_FRONT):
        return 'job=~"$fronts"'
    return 'job=~"$desks"' if name.startswith(OF_THE_DESK) else 'job=~"$workers"'
