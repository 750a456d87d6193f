"""Shows what `mimamori compare` found, for people to read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from mimamori.cli.against import show_left_out, show_side
from mimamori.cli.labelled import two_columns

if TYPE_CHECKING:  # Importing it at run time would need the adapt extra.
    from mimamori.comparing.compare import Comparison


def show_compared(found: Comparison) -> None:
    """Print the sides, the table, the changed messages, and what may be concluded."""
    from export.comparing.tally import VERDICTS

    console = Console(soft_wrap=True)
    if found.adapted_on_these:
        console.print(
            f"[yellow]{' and '.join(found.adapted_on_these)} adapted on these very examples: the figures "
            "flatter. Compare on others.[/]"
        )
    table = two_columns("task", found.task)
    table.add_row("messages", f"{found.counts.messages} of {escape(found.source)}")
    show_side(table, "OLD", found.old)
    show_side(table, "NEW", found.new)
    if (speed := found.speed) is not None:
        table.add_row(
            "messages/s here",
            f"OLD {speed.old:,.0f}, NEW {speed.new:,.0f}: {speed.ratio:.2f} times as fast "
            f"({speed.low:.2f} to {speed.high:.2f}), in turns",
        )
    console.print(table)
    verdicts = Table("OLD \\ NEW", *VERDICTS)
    for name, row in zip(VERDICTS, found.counts.table, strict=True):
        total = max(1, found.counts.messages)
        verdicts.add_row(name, *(f"{count} ({count / total:.1%})" for count in row))
    console.print(verdicts)
    for change in found.counts.changes:
        label = (
            "" if change.at_risk is None else f", labelled {'at risk' if change.at_risk else 'not at risk'}"
        )
        text = "" if change.text is None else f": {change.text}"
        console.print(
            escape(
                f"{change.where}: {change.old} ({change.old_risk:.3f}) -> {change.new} "
                f"({change.new_risk:.3f}){label}{text}"
            ),
            highlight=False,
        )
    if (hidden := found.counts.changed - len(found.counts.changes)) > 0:
        console.print(f"… and {hidden} changed messages more (--changes)")
    show_left_out(console, found.left_out)
    for sentence in found.conclusion:
        console.print(escape(sentence), highlight=False)
    for why in found.worse or ():
        console.print(f"[bold red]worse:[/] {escape(why)}", highlight=False)
