"""`mimamori evaluate`: measure a bundle on labelled examples that it has not seen."""

from __future__ import annotations

import inspect
import logging
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from engine.bundle import Bundle
from engine.errors import extra_for
from export.examples import read_examples
from mimamori.cli.labelled import (
    FILES,
    Device,
    Examples,
    Folder,
    Json,
    Precision,
    Threads,
    print_report,
    two_columns,
)
from mimamori.cli.progress import bars
from mimamori.cli.reading import SeparatorOption, notice
from worker.settings_source import load_settings
from worker.telemetry.logs import configure_logs

if TYPE_CHECKING:  # Importing these at run time would need the adapt extra, and takes a second.
    import typer

    from export.evaluating.evaluate import Flagging, Report


def register(app: typer.Typer) -> None:
    """Add the command to the app."""
    app.command("evaluate", help=f"{inspect.getdoc(evaluate_command)}\n{FILES}", rich_help_panel="Model")(
        evaluate_command
    )


def evaluate_command(
    bundle: Folder,
    examples: Examples,
    device: Device = "auto",
    precision: Precision = "auto",
    threads: Threads = 0,
    as_json: Json = False,
    separator: SeparatorOption = None,
) -> None:
    """Measure a bundle on labelled examples that it has not seen: misses, F1, AUC, severity.

    As for `mimamori run`, MIMAMORI_BUNDLE_FINGERPRINT and MIMAMORI_BUNDLE_PUBLIC_KEY say which bundle to
    accept, and MIMAMORI_LOWER and MIMAMORI_UPPER replace its thresholds. The bundle's own thresholds hold
    only for scores made as when they were fitted, in the same precision for example. Otherwise the command
    stops with an error.
    """
    with extra_for("evaluating", "adapt,cpu"):
        from export.evaluating.evaluate import evaluate
    from engine.load import load_engine

    configure_logs("console", logging.WARNING)  # The report already says what runs.
    settings = load_settings()
    loaded = Bundle.load(bundle, trust=settings.trust)
    task = loaded.manifest.task
    labelled = read_examples(examples, task, separator, notice)
    engine = load_engine(loaded, device=device, precision=precision, threads=threads)
    with bars() as progress:
        report = evaluate(
            engine,
            loaded,
            labelled,
            lambda done, total: progress("read the examples", done, total),
            lower=settings.lower,
            upper=settings.upper,
        )
    print_report(report, lambda made: _show_evaluated(made, task.level_names), as_json=as_json)


def _show_evaluated(report: Report, levels: tuple[str, ...]) -> None:
    console = Console()
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
    if len(report.depths) > 1:
        told = ", ".join(f"{count} at layer {depth}" for depth, count in report.depths.items())
        table.add_row("decided", told)
    table.add_row("AUC", _figure(report.auc))
    table.add_row("missed", f"{_figure(report.miss_rate)} of those at risk were cleared")
    table.add_row("false alarms", f"{_figure(report.alarm_rate)} of the others were at_risk")
    console.print(table)
    console.print(_flaggings(report))
    console.print(
        _confusion("verdict", ("clear", "uncertain", "at_risk"), ("not at risk", "at risk"), report.confusion)
    )
    if report.severity is not None:
        console.print(_confusion("severity", levels, levels, report.severity.confusion))
        console.print(
            f"severity of {report.severity.examples}: macro-F1 {report.severity.macro_f1:.3f}, "
            f"quadratic kappa {report.severity.kappa:.3f}"
        )


def _flaggings(report: Report) -> Table:
    rows: dict[str, Flagging] = {
        "risk >= 0.5": report.even_odds,
        "not clear (a person looks)": report.not_clear,
        "at_risk": report.at_risk,
    }
    table = Table("called positive", "precision", "recall", "F1")
    for name, row in rows.items():
        table.add_row(name, f"{row.precision:.3f}", f"{row.recall:.3f}", f"{row.f1:.3f}")
    return table


def _confusion(what: str, columns: tuple[str, ...], rows: tuple[str, ...], counts: list[list[int]]) -> Table:
    table = Table(f"labelled \\ {what}", *columns)
    for name, row in zip(rows, counts, strict=True):
        table.add_row(name, *map(str, row))
    return table


def _figure(value: float | None) -> str:
    return "no such examples" if value is None else f"{value:.3f}"
