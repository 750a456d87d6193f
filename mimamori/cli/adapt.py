"""`mimamori adapt` and `mimamori evaluate`: fit a bundle to labelled examples, and measure it on others."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import msgspec
import typer
from rich.console import Console
from rich.table import Table

from engine.bundle import Bundle, read_manifest
from engine.device_names import DeviceChoice, PrecisionChoice
from engine.errors import SettingsError, extra_for
from export.examples import read_examples
from mimamori.cli.curve import draw, require_plot, show_distilled
from mimamori.cli.progress import bars
from mimamori.cli.reading import SeparatorOption, notice
from mimamori.cli.traffic import (
    DepthOption,
    KeepOption,
    MessagesOption,
    PlotOption,
    TeacherOption,
    TrafficOption,
    read_traffic,
    require_source,
)
from worker.settings_source import load_settings
from worker.telemetry.logs import configure_logs

if TYPE_CHECKING:  # Importing these at run time would need the adapt extra, and takes a second.
    from export.adapting.adapt import AdaptReport
    from export.evaluating.evaluate import Flagging, Report

R = TypeVar("R", bound=msgspec.Struct)

Folder = Annotated[Path, typer.Argument(help="The bundle's folder.", show_default=False)]
Examples = Annotated[
    Path, typer.Option(help="JSONL, CSV, TSV or Parquet: text, at_risk, and severity where one applies.")
]
Device = Annotated[DeviceChoice, typer.Option(help="Where to run.")]
Precision = Annotated[
    PrecisionChoice,
    typer.Option(
        help="In which precision; auto: the one that the thresholds were fitted on, if there is any."
    ),
]
Threads = Annotated[int, typer.Option(min=0, help="Threads of a CPU device; 0 is one per core.")]
Json = Annotated[bool, typer.Option("--json", help="Print the report as JSON instead.")]


_FILES = """
A CSV file of examples names its columns in the first line; id, language and note may stand beside:

    text,at_risk,severity

    "Nice flat, is there a cellar?",no,

    "I am abroad, wire the deposit",yes,asking

The same in JSONL:

    {"text": "Nice flat, is there a cellar?", "at_risk": false}
"""


def register(app: typer.Typer) -> None:
    """Add the commands to the app."""
    for name, command in (("adapt", adapt_command), ("evaluate", evaluate_command)):
        app.command(name, help=f"{inspect.getdoc(command)}\n{_FILES}", rich_help_panel="Model")(command)


def adapt_command(
    bundle: Folder,
    examples: Examples,
    out: Annotated[Path, typer.Option(help="The adapted bundle's folder; it must not exist yet.")],
    device: Device = "auto",
    precision: Precision = "auto",
    threads: Threads = 0,
    as_json: Json = False,
    separator: SeparatorOption = None,
    traffic: TrafficOption = None,
    keep: KeepOption = 0.98,
    depth: DepthOption = None,
    teacher: TeacherOption = None,
    messages: MessagesOption = 4000,
    plot: PlotOption = None,
) -> None:
    """Fit a full bundle to 10 or more labelled examples: layer, heads, calibrated thresholds.

    With --traffic the bundle becomes several times as fast: the head that is
    fitted to the examples labels your unlabelled messages, and readings of fewer
    layers learn from that.

        mimamori adapt FULL --examples e.csv --out OUT --traffic week.jsonl

    It prints what every depth keeps of the head's AUC, and how many messages a
    second it reads here. Messages stay in memory and are kept nowhere; those that
    are examples too are left out. Of topic:NAME the last ones are read, and the
    settings of `mimamori run` say where Kafka is.
    """
    with extra_for("adapting", "adapt,cpu"):
        from export.adapting.adapt import adapt
        from export.adapting.distilled import Distillation
    manifest, _ = read_manifest(bundle)
    labelled = read_examples(examples, manifest.task, separator, notice)
    if traffic is None:
        if teacher is not None or depth is not None or plot is not None:
            raise SettingsError("--teacher, --depth and --plot say how to distil: give --traffic too")
    else:
        require_source(traffic)
        if plot is not None:
            require_plot(plot)
    with bars() as progress:
        asked = traffic and Distillation(
            read_traffic(traffic, separator, progress, messages), teacher, keep, depth, messages
        )
        report = adapt(
            bundle,
            labelled,
            out,
            progress,
            device=device,
            precision=precision,
            threads=threads,
            distillation=asked or None,
        )
    if plot is not None and report.distilled is not None:
        draw(report.distilled, plot)
    _print(report, _show_adapted, as_json=as_json)


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
    _print(report, lambda made: _show_evaluated(made, task.level_names), as_json=as_json)


def _print(report: R, show: Callable[[R], None], *, as_json: bool) -> None:
    if as_json:
        encoded = msgspec.json.encode(report, enc_hook=str)  # enc_hook turns a Path into a string
        typer.echo(msgspec.json.format(encoded, indent=2).decode())
    else:
        show(report)


def _show_adapted(report: AdaptReport) -> None:
    table = _table("adapted bundle", str(report.bundle))
    table.add_row("fingerprint", report.fingerprint)
    table.add_row("read on", report.runs)
    table.add_row(
        "examples", f"{report.examples}, {report.positives} at risk, {report.graded} with a severity"
    )
    table.add_row("layer", f"{report.layer} of {report.layers} (C = {report.strength:g})")
    table.add_row("AUC, F1", f"{report.auc:.3f}, {report.f1:.3f} (cross-validated)")
    table.add_row("clear below", f"{report.lower:.3f} ({report.cleared:.0%} of the examples)")
    table.add_row("at risk from", f"{report.upper:.3f} ({report.escalated:.0%} of the examples)")
    windowing = report.windowing
    table.add_row(
        "long messages",
        f"above {windowing.whole} tokens in windows of {windowing.tokens}, discount {windowing.discount:g}",
    )
    table.add_row("cut against full", f"{report.cut_difference:.1g} standard deviations")
    table.add_row("took", f"{report.seconds:.0f} s")
    console = Console()
    if report.distilled is not None:
        show_distilled(report.distilled, console)
    console.print(table)
    others = report.examples - report.positives
    short = {"at risk: until then nothing is cleared": report.positives}
    short["not at risk: until then nothing is at_risk, at most uncertain"] = others
    for what, count in short.items():
        if count < report.positives_needed:
            console.print(
                f"[yellow]A bound of {report.tolerated_miss_rate:.0%} on mistakes takes "
                f"{report.positives_needed} examples, there are {count} {what}.[/]"
            )


def _show_evaluated(report: Report, levels: tuple[str, ...]) -> None:
    console = Console()
    if report.seen_at_adapt:
        console.print(
            "[yellow]The bundle was adapted on these very examples: the figures flatter. "
            "Evaluate on others.[/]"
        )
    table = _table("read on", f"{report.runs}, {report.reading} reading (scores: {report.scored_by})")
    table.add_row("examples", f"{report.examples}, {report.positives} at risk")
    table.add_row("thresholds", f"{report.thresholds.lower:.3f} to {report.thresholds.upper:.3f}")
    table.add_row("calibration", report.thresholds.calibration)
    table.add_row("messages/s here", f"{report.messages_per_second:,.0f}")
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


def _table(name: str, value: str) -> Table:
    return Table(name, value, header_style="bold")


def _figure(value: float | None) -> str:
    return "no such examples" if value is None else f"{value:.3f}"
