"""`mimamori adapt`: fit a bundle to labelled examples."""

from __future__ import annotations

import inspect
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer
from rich.console import Console

from engine.bundle import Bundle, read_manifest
from engine.errors import SettingsError, extra_for
from export.examples import read_examples
from mimamori.cli.curve import draw, show_distilled
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
    CascadeOption,
    DecisionsOption,
    DepthOption,
    KeepOption,
    MessagesOption,
    PlotOption,
    TeacherOption,
    TrafficOption,
    labelled,
    read_traffic,
    require_source,
)

if TYPE_CHECKING:  # Importing these at run time would need the adapt extra, and takes a second.
    from export.adapting.adapt import AdaptReport


TestOption = Annotated[
    Path | None,
    typer.Option(help="Labelled examples kept apart for a test: none of them may be among the --examples."),
]

InContextOption = Annotated[
    int,
    typer.Option(
        "--compare-in-context",
        min=0,
        help="Also measure so many solved examples in the prompt beside the head (minutes on a CPU).",
    ),
]


def register(app: typer.Typer) -> None:
    """Add the commands to the app."""
    app.command("adapt", help=f"{inspect.getdoc(adapt_command)}\n{FILES}", rich_help_panel="Model")(
        adapt_command
    )


def adapt_command(
    bundle: Folder,
    out: Annotated[Path, typer.Option(help="The adapted bundle's folder; it must not exist yet.")],
    examples: ExamplesOrNone = None,
    from_decisions: DecisionsOption = None,
    device: Device = "auto",
    precision: Precision = "auto",
    threads: Threads = 0,
    as_json: Json = False,
    separator: SeparatorOption = None,
    traffic: TrafficOption = None,
    keep: KeepOption = None,
    depth: DepthOption = None,
    teacher: TeacherOption = None,
    messages: MessagesOption = 4000,
    cascade: CascadeOption = None,
    plot: PlotOption = None,
    test: TestOption = None,
    compare_in_context: InContextOption = 0,
) -> None:
    """Fit a full bundle to 10 or more labelled examples: layer, heads, calibrated thresholds.

    With --traffic the bundle becomes several times as fast: the head that is
    fitted to the examples labels your unlabelled messages, and readings of fewer
    layers learn from that. Where it pays, messages stop at a shallow layer that
    clears them already, and only the others are read on (a cascade).

        mimamori adapt FULL --examples e.csv --out OUT --traffic week.jsonl

    It prints what every depth keeps of the head's AUC, and how many messages a
    second it reads here. Messages stay in memory and are kept nowhere; those that
    are examples too are left out. Of topic:NAME the last ones are read, and the
    settings of `mimamori run` say where Kafka is.

    Instead of a file, or beside it, what people decided at the review desk:

        mimamori adapt FULL --out OUT --from-decisions cases.jsonl decisions.jsonl

    Either may be topic:NAME, such as topic:mimamori.review-decisions.
    """
    with extra_for("adapting", "adapt,cpu"):
        from export.adapting.adapt import adapt
        from export.adapting.distilled import Distillation
        from export.adapting.distilling import KEEP
        from export.adapting.in_context import compare_in_context as compare
        from export.adapting.in_context import require_comparable
        from export.checking import checked
    manifest, _ = read_manifest(bundle)
    given = labelled(examples, from_decisions, manifest.task, separator)
    apart = read_examples(test, manifest.task, separator, notice) if test else ()
    once = checked(given, manifest.task, apart).examples
    if compare_in_context:
        require_comparable(manifest, once, compare_in_context)
    if traffic is None:
        if teacher is not None or plot is not None or keep is not None or cascade:
            raise SettingsError(
                "--teacher, --keep, --cascade and --plot say how to distil: give --traffic too"
            )
    else:
        require_source(traffic)
        if keep is not None and depth is not None:
            raise SettingsError("--keep and --depth both say how many layers are read: give one of them")
        if plot is not None:
            require_plot(plot)
    with bars() as progress:
        asked = None
        if traffic is not None:
            heard = read_traffic(traffic, separator, progress, messages)
            asked = Distillation(heard, teacher, KEEP if keep is None else keep, depth, messages, cascade)
        report = adapt(
            bundle,
            given,
            out,
            progress,
            device=device,
            precision=precision,
            threads=threads,
            distillation=asked,
            test=apart,
            layer=depth if asked is None else None,
        )
        if compare_in_context:
            compared = compare(
                Bundle.load(bundle),
                once,
                compare_in_context,
                (report.auc, report.f1),
                partial(progress, "ask with shots"),
                device=device,
                precision=precision,
                threads=threads,
            )
            report = msgspec.structs.replace(report, in_context=compared)
    for finding in report.findings:
        notice(finding.says)
    print_report(report, _show_adapted, as_json=as_json)
    # Last, since a picture that cannot be written must not take the report with it.
    if plot is not None and report.distilled is not None:
        draw(report.distilled, plot)


def _show_adapted(report: AdaptReport) -> None:
    table = two_columns("adapted bundle", str(report.bundle))
    table.add_row("fingerprint", report.fingerprint)
    table.add_row("read on", report.runs)
    table.add_row(
        "examples", f"{report.examples}, {report.positives} at risk, {report.graded} with a severity"
    )
    table.add_row("layer", f"{report.layer} of {report.layers}")
    table.add_row("AUC, F1", f"{report.auc:.3f}, {report.f1:.3f} (cross-validated)")
    if (shown := report.in_context) is not None:
        table.add_row(
            f"in context ({shown.shots} shots)",
            f"{shown.auc:.3f}, {shown.f1:.3f}: {'better' if shown.better else 'the head is better'}"
            f"{', ranks worse than chance' * shown.backwards}",
        )
    table.add_row("clear below", f"{report.lower:.3f} ({report.cleared:.0%} of the examples)")
    table.add_row(
        "bound on misses",
        f"{report.tolerated_miss_rate:.3g} of those at risk, in expectation and approximately: on average "
        "over draws of examples (out of fold); this very bundle may miss more",
    )
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
    console.print(
        "For a bound with stated confidence that holds for this bundle, run `mimamori calibrate` on examples "
        "kept apart from these."
    )
    if report.in_context is not None and report.in_context.better:
        console.print(
            "[yellow]Shots in the prompt did better than the head on these examples: `mimamori export "
            f"--shots {report.in_context.shots}` makes such a bundle, which reads all layers.[/]"
        )
    others = report.examples - report.positives
    short = {"at risk: until then nothing is cleared": report.positives}
    short["not at risk: until then nothing is at_risk, at most uncertain"] = others
    for what, count in short.items():
        if count < report.positives_needed:
            console.print(
                f"[yellow]A bound of {report.tolerated_miss_rate:.0%} on mistakes takes "
                f"{report.positives_needed} examples, there are {count} {what}.[/]"
            )
