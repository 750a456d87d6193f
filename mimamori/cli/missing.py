"""`mimamori miss-rate`: how many of the people at risk are missed now, by what people decided."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from engine.errors import extra_for
from mimamori.cli.labelled import Json, print_report
from mimamori.cli.live import Cases, Decisions, Labels, Task
from mimamori.cli.progress import bars

if TYPE_CHECKING:  # Importing these at run time would need the adapt extra.
    from export.comparing.weighted import Rate
    from mimamori.missing import Found, MissRateReport

_SKEW_MS = 60_000


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("miss-rate", rich_help_panel="Screen")(miss_rate)


def miss_rate(
    last: Annotated[int, typer.Option(min=1, help="How many of the newest labels.")] = 1_000_000,
    task: Task = None,
    max_miss_rate: Annotated[
        float | None, typer.Option(min=0, max=1, help="The bound to hold it against; default: the labels'.")
    ] = None,
    within: Annotated[
        float, typer.Option(min=0.001, max=0.5, help="Say how many decisions give the rate to ± this.")
    ] = 0.05,
    labels: Labels = None,
    cases: Cases = None,
    decisions: Decisions = None,
    as_json: Json = False,
) -> None:
    """Estimate how many of the people at risk are missed now, from what people decided.

    A random share of the cleared messages goes to people as quality samples. What they find there, and among
    the escalations, gives the miss rate over all messages, with an interval that holds at least as often as
    it says. It concludes nothing from fewer than 30 decided samples, and says how many more would do.
    """
    with extra_for("estimating the miss rate", "adapt,cpu"):
        from mimamori.missing import estimate, tally
    from mimamori.comparing.decided import labels as labels_in
    from mimamori.comparing.decided import read_decisions
    from schemas.events import Label, ReviewCase, ReviewDecision
    from schemas.topics import topic_names
    from worker.kafka.span import Asked
    from worker.registry.label_reading import LabelReader
    from worker.settings_source import load_settings

    settings = load_settings()
    config, names = settings.client_config, topic_names(settings.topic_prefix)
    left_out: Counter[str] = Counter()
    with bars() as progress:
        asked = Asked(labels or names[Label], last=last)
        read = labels_in(config, asked, LabelReader.of(settings), progress, left_out)
        counted = tally(read, task, left_out)
        since = max(0, int(counted.first.timestamp() * 1000) - _SKEW_MS)
        decided = read_decisions(
            config,
            Asked(decisions or names[ReviewDecision]),
            Asked(cases or names[ReviewCase], since_ms=since),
            counted.task,
            counted.within,
            progress,
            left_out,
        )
    print_report(estimate(counted, decided, left_out, max_miss_rate, within), _show, as_json=as_json)


def _show(report: MissRateReport) -> None:
    console = Console()
    table = Table(
        f"{report.task}: {report.labels} labels", "messages", "cases", "at risk", "not", "unsure",
        header_style="bold",
    )  # fmt: skip
    for name, found in (("cleared", report.cleared), ("escalated", report.escalated)):
        table.add_row(name, *map(str, _cells(found)))
    console.print(table)
    if report.at_risk_among_clear is not None:
        console.print(f"At risk among the cleared: {_rate(report.at_risk_among_clear)}")
    for line in report.said:
        console.print(line)
    for why, number in report.left_out.items():
        console.print(f"[dim]left out: {number} {why}[/]")


def _cells(found: Found) -> tuple[int, ...]:
    return found.messages, found.cases, found.at_risk, found.not_at_risk, found.unsure


def _rate(rate: Rate) -> str:
    return f"{rate.value:.2%} (from {rate.interval.low:.2%} to {rate.interval.high:.2%})"
