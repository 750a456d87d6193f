"""`mimamori drift`: how far the stream has moved from the one that a bundle was made for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from mimamori.cli.labelled import Folder, Json, print_report
from mimamori.cli.progress import bars

if TYPE_CHECKING:  # a command imports what it needs when it runs
    from mimamori.drifting import DriftReport

_COLOURS = {"too few": "dim", "stable": "green", "moderate": "yellow", "shifted": "bold red"}


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(rich_help_panel="Screen")(drift)


def drift(
    bundle: Folder,
    labels: Annotated[str | None, typer.Option(help="Topic of the labels; default: this prefix's.")] = None,
    last: Annotated[int, typer.Option(min=1, help="How many of the newest labels to compare.")] = 5000,
    as_json: Json = False,
) -> None:
    """Say how far the stream has moved from the messages that a bundle was adapted with.

    It reads the newest labels of the topic, and compares risks, windows (lengths) and the shares that were
    truncated, disguised or in another language with those of the traffic that `mimamori adapt --traffic` had.
    A bundle adapted without traffic is compared with itself: the newest labels with as many before them.

    PSI, the population stability index, is 0 where nothing has moved; below 0.1 a stream counts as stable,
    from 0.25 on as shifted. Workers measure the same as they run (mimamori_drift_psi).
    """
    from engine.bundle import Bundle
    from mimamori.drifting import drift as measured
    from mimamori.drifting import labels_of
    from schemas.events import Label
    from schemas.topics import topic_names
    from worker.kafka.latest import latest
    from worker.registry.label_reading import LabelReader
    from worker.settings_source import load_settings

    settings = load_settings()
    loaded = Bundle.load(bundle, trust=settings.trust)
    topic = labels or topic_names(settings.topic_prefix)[Label]
    with bars() as progress:
        progress(f"read {topic}", 0, 0)
        records = latest(settings.client_config, topic, last if loaded.expected else 2 * last)
        reader = LabelReader.of(settings)
        found, left_out = labels_of(records, reader, loaded.manifest.task.name, loaded.fingerprint)
    print_report(measured(loaded, found, last, left_out), _show, as_json=as_json)


def _show(report: DriftReport) -> None:
    console = Console()
    then = "the traffic it was adapted with" if report.against == "traffic" else "the labels before"
    console.print(
        f"{report.labels} labels from {report.first:%Y-%m-%d %H:%M} to {report.last:%Y-%m-%d %H:%M} "
        f"against {report.expected} messages of {then}"
    )
    table = Table("signal", "PSI", "by chance", "then", "now", "", header_style="bold")
    for each in report.signals:
        colour = _COLOURS[each.movement]
        table.add_row(
            each.signal,
            f"{each.psi:.3f}",
            f"{each.by_chance:.3f}",
            _share(each.share_then),
            _share(each.share_now),
            f"[{colour}]{each.movement}[/]",
        )
    console.print(table)
    for line in report.said:
        console.print(line)
    for why, number in report.left_out.items():
        console.print(f"[dim]left out: {number} {why}[/]")


def _share(share: float | None) -> str:
    return "" if share is None else f"{share:.2%}"
