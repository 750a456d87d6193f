"""Makes Prometheus' rules: how fast each promise is broken, recorded once, and the alerts."""

from collections.abc import Iterator
from typing import Any, Final

from ops.expressions import faults, within
from ops.plan import Alert, Alerts, Objective, PlanError

RUNBOOK: Final = "docs/how-to/alerts.md"
_BAD_OVER: Final = "6h"  # the window in which an objective's `fewest` bad records must be seen

Rule = dict[str, Any]


def groups_of(alerts: Alerts) -> list[Rule]:
    """The groups of rules, recorded ones first.

    Raises PlanError: an expression names what no catalogue lists, or an alert has no expression.
    """
    objectives = {one.name: one for one in alerts.objectives}
    recorded = [rule for one in alerts.objectives for rule in _recorded(one, alerts)]
    for rule in recorded:
        _check(rule["record"], rule["expr"], ())
    names = {rule["record"] for rule in recorded}
    groups: list[Rule] = [{"name": "mimamori-objectives", "rules": recorded}]
    for group in alerts.groups:
        rules = [_alert(alert, objectives) for alert in group.alerts]
        for rule in rules:
            _check(rule["alert"], rule["expr"], names)
        groups.append({"name": group.name, "rules": rules})
    if len({alert.name for alert in alerts.every()}) < len(alerts.every()):
        raise PlanError("two alerts have the same name")
    return groups


def _recorded(objective: Objective, alerts: Alerts) -> Iterator[Rule]:
    windows = {
        window
        for alert in alerts.every()
        if alert.objective == objective.name
        for burn in alert.burns
        for window in (burn.short, burn.long)
    }
    bad, total = within(objective.bad, alerts.within_seconds), within(objective.total, alerts.within_seconds)
    for window in sorted(windows, key=lambda each: ("smhd".index(each[-1]), int(each[:-1]))):
        ratio = f"(\n  {_indented(bad)}\n) / (\n  {_indented(total)}\n)"
        name = f"mimamori:{objective.name}:ratio_rate{window}"
        yield {"record": name, "expr": ratio.replace("WINDOW", window)}
    increase = bad.replace("rate(", "increase(").replace("WINDOW", _BAD_OVER)
    yield {"record": f"mimamori:{objective.name}:increase{_BAD_OVER}", "expr": increase}


def _alert(alert: Alert, objectives: dict[str, Objective]) -> Rule:
    rule = {
        "alert": alert.name,
        "expr": _expression(alert, objectives),
        "for": alert.for_,
        "labels": {"severity": alert.severity, "team": alert.team},
        "annotations": {
            "summary": alert.summary,
            "description": f"{alert.see} {alert.people}",
            "runbook": f"{RUNBOOK}#{alert.name.lower()}",
        },
    }
    if alert.for_ == "0m":
        del rule["for"]
    return rule


def _expression(alert: Alert, objectives: dict[str, Objective]) -> str:
    if (alert.expr is None) == (alert.objective is None):
        raise PlanError(f"{alert.name}: give it an expr, or an objective with burns")
    if alert.expr is not None:
        return alert.expr
    if alert.objective not in objectives or not alert.burns:
        raise PlanError(f"{alert.name}: there is no objective {alert.objective}, or it has no burns")
    objective = objectives[alert.objective]
    name = f"mimamori:{objective.name}"
    burns = [
        f"(\n  {name}:ratio_rate{burn.long} > {burn.times:g} * {objective.budget:g}"
        f" and {name}:ratio_rate{burn.short} > {burn.times:g} * {objective.budget:g}\n)"
        for burn in alert.burns
    ]
    fast_enough = "\nor ".join(burns)
    return f"(\n{fast_enough}\n)\nand {name}:increase{_BAD_OVER} >= {objective.fewest}"


def _indented(expr: str) -> str:
    return expr.replace("\n", "\n  ")


def _check(name: str, expr: str, recorded: set[str] | tuple[()]) -> None:
    if found := list(faults(expr, recorded)):
        raise PlanError(f"{name}: {'; '.join(found)}")
