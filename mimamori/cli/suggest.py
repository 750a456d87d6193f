"""`mimamori suggest`: which unlabelled messages to label next."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from engine.bundle import read_manifest
from engine.errors import extra_for
from export.examples import read_examples
from mimamori.cli.labelled import Device, Folder, Json, Precision, Threads, print_report, two_columns
from mimamori.cli.progress import bars
from mimamori.cli.reading import SeparatorOption, notice
from mimamori.cli.traffic import read_traffic, require_source

if TYPE_CHECKING:  # Importing it at run time would need the adapt extra, and takes a second.
    from export.adapting.suggested import SuggestReport


def register(app: typer.Typer) -> None:
    """Add the command to the app."""
    app.command("suggest", rich_help_panel="Model")(suggest_command)


def suggest_command(
    bundle: Folder,
    traffic: Annotated[
        str, typer.Option(help="Unlabelled messages: a JSONL, CSV, TSV or Parquet file, or topic:NAME.")
    ],
    out: Annotated[
        Path, typer.Option(help="The file to label, .jsonl or .csv; it holds texts and must not exist yet.")
    ],
    examples: Annotated[
        Path | None,
        typer.Option(help="What is labelled already. Default: none, or what the bundle was adapted on."),
    ] = None,
    count: Annotated[int, typer.Option(min=1, max=1000, help="How many to suggest.")] = 25,
    messages: Annotated[int, typer.Option(min=25, help="Look at most at so many of the traffic.")] = 4000,
    device: Device = "auto",
    precision: Precision = "auto",
    threads: Threads = 0,
    as_json: Json = False,
    separator: SeparatorOption = None,
) -> None:
    """Propose which unlabelled messages to label next, and write them to a file to label.

    Each stands for many others that the model is unsure of, and none is like
    another. Fill in at_risk (and severity), then adapt on both files:

        mimamori suggest FULL --examples e.jsonl --traffic week.jsonl --out to-label.jsonl

    Without --examples a full bundle suggests what stands for the traffic, an
    adapted one what its own head is unsure of. The file to label holds texts and
    is for its owner's eyes alone; nothing else of the messages is kept.
    """
    with extra_for("suggesting", "adapt,cpu"):
        from export.adapting.suggested import require_new, suggest_rows
    require_new(out)
    manifest, _ = read_manifest(bundle)
    labelled = read_examples(examples, manifest.task, separator, notice) if examples else []
    require_source(traffic)
    with bars() as progress:
        report = suggest_rows(
            bundle,
            read_traffic(traffic, separator, progress, messages),
            labelled,
            count,
            out,
            progress,
            most=messages,
            device=device,
            precision=precision,
            threads=threads,
        )
    print_report(report, _show_suggested, as_json=as_json)


def _show_suggested(report: SuggestReport) -> None:
    table = two_columns("file to label", str(report.out))
    sure = report.suggestions - report.uncertain
    table.add_row("suggested", f"{report.uncertain} uncertain, {sure} representative")
    table.add_row("out of", f"{report.read:,} different messages, {report.seen:,} seen")
    table.add_row("head", report.head)
    table.add_row("read on", f"{report.runs}, layer {report.layer}")
    table.add_row("took", f"{report.seconds:.0f} s")
    console = Console()
    console.print(table)
    console.print(
        "Fill in at_risk, and severity of those at risk; then adapt on these and your other examples."
    )
