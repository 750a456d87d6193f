"""Prints what `mimamori evaluate` measured. The page of `--report` has all of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

from mimamori.cli.labelled import two_columns

if TYPE_CHECKING:  # Importing these at run time would need the adapt extra, and takes a second.
    from pathlib import Path

    from export.evaluating.figures import Flagging
    from export.evaluating.intervals import Interval
    from export.evaluating.report import Report
    from export.evaluating.shots import Shots, Spread


def show_evaluated(report: Report, written: Path | None) -> None:
    """Print the report as tables, and where its page was written."""
    console = Console()
    levels = report.levels
    if report.seen_at_adapt:
        console.print(
            "[yellow]The bundle was adapted on these very examples: the figures flatter. "
            "Evaluate on others.[/]"
        )
    table = two_columns("read on", f"{report.runs}, {report.reading} reading (scores: {report.scored_by})")
    table.add_row("examples", f"{report.examples}, {report.positives} at risk")
    table.add_row("thresholds", f"{report.thresholds.lower:.3f} to {report.thresholds.upper:.3f}")
    table.add_row("calibration", report.thresholds.calibration)
    table.add_row("states", report.states or "no bound: `mimamori calibrate` states one")
    table.add_row("messages/s here", f"{report.messages_per_second:,.0f}")
    cost = report.cost
    price = "" if cost.per_million is None else f", {cost.per_million:.2f} at {cost.per_hour:g} an hour"
    table.add_row(
        "a million messages", f"{cost.hours_per_million:.2g} hours of a busy machine like this{price}"
    )
    if len(report.depths) > 1:
        told = ", ".join(f"{count} at layer {depth}" for depth, count in report.depths.items())
        table.add_row("decided", told)
    table.add_row("AUC", _figure(report.auc, report.auc_interval))
    missed, alarms = report.miss_rate_interval, report.alarm_rate_interval
    table.add_row("missed", f"{_figure(report.miss_rate, missed)} of those at risk were cleared")
    table.add_row("false alarms", f"{_figure(report.alarm_rate, alarms)} of the others were at_risk")
    for load in report.workload:
        table.add_row(
            f"where {load.prevalence:.3g} are at risk", f"people see {1000 * load.seen:.0f} of 1,000 messages"
        )
    console.print(table)
    console.print(_flaggings(report))
    console.print(
        _confusion("verdict", ("clear", "uncertain", "at_risk"), ("not at risk", "at risk"), report.confusion)
    )
    if report.severity is not None:
        severity = report.severity
        console.print(_confusion("severity", levels, levels, severity.confusion))
        console.print(
            f"severity of {severity.examples}: macro-F1 {severity.macro_f1:.3f}, quadratic kappa "
            f"{_figure(severity.kappa, severity.kappa_interval)}, off by {severity.mean_error:.2f} levels"
        )
    console.print(_slices(report))
    if report.shots is not None:
        console.print(_shots(report.shots))
        console.print(_prices(report.shots))
    if report.unanswered:
        console.print(f"[yellow]{report.unanswered} messages got no score and come to a person.[/]")
    console.print("In brackets: 95 % intervals.", style="dim")
    if written is not None:
        console.print(f"the report: {written}, its JSON beside it", markup=False, soft_wrap=True)


def _flaggings(report: Report) -> Table:
    rows: dict[str, Flagging] = {
        "risk >= 0.5": report.even_odds,
        "not clear (a person looks)": report.not_clear,
        "at_risk": report.at_risk,
    }
    # Narrow enough that an interval beside it is whole in a terminal of 80 columns.
    table = Table(Column("called positive", max_width=12))
    for figure in ("precision", "recall", "F1", "balanced accuracy"):
        table.add_column(figure, overflow="fold")
    for name, row in rows.items():
        table.add_row(
            name,
            _figure(row.precision, row.precision_interval),
            _figure(row.recall, row.recall_interval),
            _figure(row.f1, row.f1_interval),
            _figure(row.balanced_accuracy, row.balanced_accuracy_interval),
        )
    return table


def _slices(report: Report) -> Table:
    table = Table("who is missed", "at risk", "missed", "recall", "conclusion")
    small = [each for each in report.slices if each.conclusion == "too few to conclude"]
    for each in report.slices:
        if each in small:
            continue
        table.add_row(
            escape(f"{each.by}: {each.value}"),
            str(each.positives),
            str(each.missed),
            _figure(each.recall, each.recall_interval),
            each.conclusion,
        )
    if small:
        count = f"{len(small)} smaller slice{'s' * (len(small) > 1)}"
        table.add_row(count, "", "", "", "too few to conclude", style="dim")
    return table


def _shots(shots: Shots) -> Table:
    table = Table(Column("way", overflow="fold"), "labels", "F1", "balanced accuracy", "recall", "AUC")
    last = None
    for row in shots.rows:
        spreads = (row.f1, row.balanced_accuracy, row.recall, row.auc)
        table.add_row("" if row.way == last else row.way, str(row.labels), *map(_spread, spreads))
        last = row.way
    return table


def _prices(shots: Shots) -> Table:
    """How fast each way is and what it costs: one line for each, beside which the figures had no room."""
    table = Table("way", "messages/s", *(["cost of a million"] if shots.cost_per_million else []))
    for way in dict.fromkeys(row.way for row in shots.rows):
        rate, cost = shots.messages_per_second.get(way), shots.cost_per_million.get(way)
        if rate is not None:
            price = ["" if cost is None else f"{cost:,.2f}"] if shots.cost_per_million else []
            table.add_row(way, f"{rate:,.0f}", *price)
    return table


def _spread(spread: Spread) -> str:
    return f"{spread.mean:.3f}" + ("" if spread.deviation is None else f" ± {spread.deviation:.3f}")


def _confusion(what: str, columns: tuple[str, ...], rows: tuple[str, ...], counts: list[list[int]]) -> Table:
    table = Table(f"labelled \\ {what}", *columns)
    for name, row in zip(rows, counts, strict=True):
        table.add_row(name, *map(str, row))
    return table


def _figure(value: float | None, interval: Interval | None = None) -> str:
    if value is None:
        return "no such examples"
    return f"{value:.3f}" + ("" if interval is None else f" ({interval.low:.3f}-{interval.high:.3f})")
