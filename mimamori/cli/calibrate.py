"""`mimamori calibrate`: state how many people a bundle misses, on examples kept apart."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, Literal

import typer
from rich.console import Console
from rich.table import Table

from engine.bundle import read_manifest
from engine.errors import SettingsError, extra_for
from export.examples import read_examples
from mimamori.cli.labelled import (
    FILES,
    Device,
    ExamplesOrNone,
    Folder,
    Json,
    Precision,
    Threads,
    print_report,
    two_columns,
)
from mimamori.cli.picture import require_plot
from mimamori.cli.progress import bars
from mimamori.cli.reading import SeparatorOption, notice
from mimamori.cli.traffic import (
    DecisionsOption,
    labelled,
    read_decisions,
    read_traffic,
    require_source,
)
from worker.settings_source import load_settings

if TYPE_CHECKING:  # Importing these at run time would need the adapt extra, and takes a second.
    from export.calibrating.calibrate import CalibrateReport
    from export.calibrating.workload import Workload

_SHARE: Final = "The share of the stream's messages that is at risk: one of"
_MESSAGES: Final = 4000


def register(app: typer.Typer) -> None:
    """Add the command to the app."""
    app.command("calibrate", help=f"{inspect.getdoc(calibrate_command)}\n{FILES}", rich_help_panel="Model")(
        calibrate_command
    )


def calibrate_command(
    bundle: Folder,
    examples: ExamplesOrNone = None,
    from_decisions: DecisionsOption = None,
    max_miss_rate: Annotated[
        float | None,
        typer.Option(
            help="The most of those at risk that may be cleared, such as 0.05. Default: the task's rate.",
            show_default=False,
        ),
    ] = None,
    confidence: Annotated[
        float, typer.Option(help="How sure it must be that this bundle keeps the rate.")
    ] = 0.9,
    max_alarm_rate: Annotated[
        float, typer.Option(help="The most of the others that may get the verdict at_risk.")
    ] = 0.05,
    bound: Annotated[
        Literal["confidence", "expectation"],
        typer.Option(
            help="Which statement sets the thresholds: one about this bundle, or one about the average."
        ),
    ] = "confidence",
    out: Annotated[
        Path | None,
        typer.Option(
            help="The calibrated bundle's folder; it must not exist yet. Default: BUNDLE-calibrated.",
            show_default=False,
        ),
    ] = None,
    adapted_on: Annotated[
        Path | None, typer.Option(help="The examples that adapt got: those among these are left out.")
    ] = None,
    prevalence: Annotated[
        float | None, typer.Option(help="The share as you know it, such as 0.03.", rich_help_panel=_SHARE)
    ] = None,
    traffic: Annotated[
        str | None,
        typer.Option(
            help="200 or more unlabelled messages to estimate it from: a file, or topic:NAME.",
            rich_help_panel=_SHARE,
        ),
    ] = None,
    quality_samples: Annotated[
        tuple[str, str] | None,
        typer.Option(
            help="Review cases and decisions to estimate it from: two JSONL files of events, or topic:NAME.",
            rich_help_panel=_SHARE,
        ),
    ] = None,
    messages: Annotated[
        int, typer.Option(min=200, help="Estimate it from at most so many of the traffic.")
    ] = _MESSAGES,
    messages_per_day: Annotated[
        int | None, typer.Option(min=1, help="Say what people review in a day, too.")
    ] = None,
    plot: Annotated[
        Path | None,
        typer.Option(help="Draw reliability, misses and load to this .svg, .png or .pdf (needs matplotlib)."),
    ] = None,
    device: Device = "auto",
    precision: Precision = "auto",
    threads: Threads = 0,
    as_json: Json = False,
    separator: SeparatorOption = None,
) -> None:
    """State how many people a bundle misses, on labelled examples kept apart from those that adapt used.

    It writes a copy of the bundle whose thresholds keep the rate that you can
    tolerate, and that states so in every label. Sign the copy, not the original.

        mimamori calibrate BUNDLE --examples apart.csv --max-miss-rate 0.05 --out OUT

    Two statements are made. With confidence: were examples drawn again and again,
    nine bundles in ten would keep the rate. In expectation: it is kept on average
    only. The first sets the thresholds, unless you give --bound expectation.

    Examples are about half at risk, a stream is not. With the stream's own share,
    risks mean what they say there: one in five messages with a risk of 0.2 is at
    risk. No verdict changes by that, since thresholds move with the risks. Without
    a share, that of the examples is taken.

    With --from-decisions, what people decided at the review desk states the rate.
    Of the escalations as large a random share is taken as of the cleared messages
    (MIMAMORI_QUALITY_SAMPLE_SHARE), so that those whom the last bundle missed
    count as much as those whom it found.
    """
    with extra_for("calibrating", "adapt,cpu"):
        from export.calibrating.calibrate import calibrate
        from export.calibrating.decisions import share_of_decisions
        from export.calibrating.goal import Goal
        from export.decided import forgotten, without_case
    from engine.bundle.calibration import Share

    if sum(given is not None for given in (prevalence, traffic, quality_samples)) > 1:
        raise SettingsError("give one of --prevalence, --traffic and --quality-samples")
    if from_decisions and (prevalence, traffic, quality_samples) != (None, None, None):
        raise SettingsError(
            "--from-decisions knows the stream's share by itself: leave --prevalence, --traffic and "
            "--quality-samples out"
        )
    for source in [*([traffic] if traffic else []), *(quality_samples or ())]:
        require_source(source, "--traffic" if traffic else "--quality-samples")
    if plot is not None:
        require_plot(plot)
    task = read_manifest(bundle)[0].task
    sampled = load_settings().quality_sample_share
    sampled = task.policy.quality_sample_share if sampled is None else sampled
    given = labelled(
        examples, from_decisions, task, separator, representative=sampled if from_decisions else None
    )
    used = None if adapted_on is None else read_examples(adapted_on, task, None, notice)
    rate = task.policy.tolerated_miss_rate if max_miss_rate is None else max_miss_rate
    share = None if prevalence is None else Share(prevalence, "stated")
    if quality_samples is not None:
        cases, decisions = read_decisions(quality_samples)
        if gone := without_case(cases, decisions, task.name):
            notice(forgotten(gone))
        share = share_of_decisions(cases, decisions, task.name, sampled)
    with bars() as progress:
        report = calibrate(
            bundle,
            given,
            bundle.resolve().with_name(f"{bundle.resolve().name}-calibrated") if out is None else out,
            progress,
            Goal(rate, max_alarm_rate, confidence, bound),
            share=share,
            traffic=read_traffic(traffic, None, progress, messages) if traffic else None,
            most=messages,
            adapted_on=used,
            device=device,
            precision=precision,
            threads=threads,
            sampled=sampled,
        )
    print_report(
        report, lambda made: _show(made, messages_per_day, sample=from_decisions is not None), as_json=as_json
    )
    # Last, since a picture that cannot be written must not take the report with it.
    if plot is not None:
        from mimamori.cli.calibration_plot import draw

        draw(report, plot)


def _show(report: CalibrateReport, per_day: int | None, *, sample: bool) -> None:
    """`sample`: the examples are a random sample of the stream, so that its share is known from them."""
    said, apart, console = report.statement, report.apart, Console()
    table = two_columns("calibrated bundle", str(report.bundle))
    table.add_row("fingerprint", report.fingerprint)
    table.add_row("read on", f"{report.runs} (scores: {report.scored_by})")
    table.add_row("examples", f"{said.positives} at risk, {said.negatives} not; {_apart(report)}")
    table.add_row("clear below", f"{report.lower:.4f} ({said.missed} of {said.positives} at risk are)")
    table.add_row("at risk from", f"{report.upper:.4f} ({said.alarms} of {said.negatives} others are)")
    table.add_row("stream", str(said.share))
    table.add_row("calibration error", f"{report.calibration_error:.3f} (ECE, at that share)")
    console.print(table)
    console.print(_bounds(report))
    console.print(_workloads(report, per_day))
    if said.share.source == "examples" and not sample:
        console.print(
            "[yellow]The stream's share is not known: risks, and the figures of the last table, hold where "
            "as many messages are at risk as among the examples. Give --prevalence, --traffic or "
            "--quality-samples.[/]"
        )
    if report.traffic_fits is False:
        console.print(
            "[yellow]The traffic does not look like a mixture of these examples: its messages differ from "
            "them, and the share may be wrong. State it with --prevalence if you know better.[/]"
        )
    if apart.used_to_adapt is None:
        console.print(
            "These are not the examples that adapt got; whether some of them are among those is not known. "
            "Give --adapted-on to be sure."
        )
    if report.was_signed:
        console.print("The copy has no signature: sign it again with `mimamori bundle sign`.")


def _apart(report: CalibrateReport) -> str:
    apart = report.apart
    left_out = {"repeated": apart.repeated, "that adapt had": apart.used_to_adapt or 0}
    said = ", ".join(f"{count} {what}" for what, count in left_out.items() if count)
    return f"left out: {said}" if said else "none left out"


def _bounds(report: CalibrateReport) -> Table:
    said = report.statement
    ways = {
        "confidence": (f"with {said.confidence:.4g} confidence", said.with_confidence),
        "expectation": ("in expectation", said.in_expectation),
    }
    table = Table(
        "statement", "of those at risk, cleared", "of others, at_risk", "clear below", "at risk from"
    )
    for name, (held, found) in ways.items():
        table.add_row(
            f"{held}{' ◀' if name == said.bound else ''}",
            f"at most {said.max_miss_rate:.3g}",
            f"at most {said.max_alarm_rate:.3g}",
            *(("too few examples", "") if found is None else (f"{found.lower:.4f}", f"{found.upper:.4f}")),
            style="bold" if name == said.bound else None,
        )
    return table


def _workloads(report: CalibrateReport, per_day: int | None) -> Table:
    table = Table("of 1,000 messages", *(f"{each.prevalence:.2%} at risk" for each in report.workloads))

    def row(what: str, of: str, style: str | None = None) -> None:
        table.add_row(what, *(f"{getattr(each, of):,.1f}" for each in report.workloads), style=style)

    row("clear", "clear")
    row("  at risk all the same (missed)", "missed")
    row("uncertain", "uncertain")
    row("at_risk", "at_risk")
    row(f"people review (with {report.sampled:.1%} of the clear)", "reviewed", "bold")
    if per_day is not None:
        loads = (f"{each.reviewed * per_day / 1000:,.0f}" for each in report.workloads)
        table.add_row(f"  a day, of {per_day:,}", *loads)
    for what, of in {
        "at risk, of what is not clear (PPV)": "found_of_reviewed",
        "at risk, of at_risk (PPV)": "found_of_at_risk",
        "not at risk, of clear (NPV)": "harmless_of_clear",
    }.items():
        table.add_row(what, *(_share(each, of) for each in report.workloads))
    return table


def _share(workload: Workload, of: str) -> str:
    value: float | None = getattr(workload, of)
    return "none" if value is None else f"{value:.2%}"
