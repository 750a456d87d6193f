"""Shared by `compare` and `replay`: a topic's range as options; how sides and what is left out are shown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

if TYPE_CHECKING:
    from mimamori.comparing.screen import Side
    from worker.settings import Settings

RANGE = "Offsets of a topic"
FromTopic = Annotated[
    str | None,
    typer.Option(
        help="Read this topic's messages: NAME, or NAME:0,3 for some partitions.", rich_help_panel=RANGE
    ),
]
FromOffset = Annotated[
    int | None,
    typer.Option(
        min=0, help="The first offset of each partition; default: the oldest.", rich_help_panel=RANGE
    ),
]
ToOffset = Annotated[
    int | None,
    typer.Option(min=1, help="The offset after the last; default: today's end.", rich_help_panel=RANGE),
]
Last = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="So many offsets before the end, spread evenly over the partitions.",
        rich_help_panel=RANGE,
    ),
]


def show_side(table: Table, name: str, side: Side) -> None:
    """Add the rows that say what a side is."""
    table.add_row(name, escape(side.folder) if side.folder else "bundle")
    table.add_row("  fingerprint", side.bundle[:32])  # as many as pin it; all of them are in the JSON
    if side.model is not None:
        table.add_row("  reads as", f"{escape(side.model)}; {side.runs}")
    if side.scored_by is not None:
        table.add_row("  scores", side.scored_by)
    thresholds = side.thresholds
    table.add_row(
        "  thresholds",
        f"{thresholds.lower:.3f} to {thresholds.upper:.3f} ({escape(thresholds.calibration)})",
    )


def show_left_out(console: Console, left_out: Mapping[str, int]) -> None:
    """Say what was not counted, and why: nothing is passed over in silence."""
    for why, count in left_out.items():
        console.print(f"[yellow]left out[/] {count}: {escape(why)}")


def note_pin(settings: Settings, new: Side) -> None:
    """Say that a candidate is not the bundle that the settings allow to run."""
    if not settings.trust.allows(new.bundle):
        Console(stderr=True, soft_wrap=True).print(
            "note: NEW is not the bundle that MIMAMORI_BUNDLE_FINGERPRINT allows to run; pin it before it "
            f"does: {new.bundle}"
        )
