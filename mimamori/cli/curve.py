"""The curve of distilled readings: a table with bars in the terminal, and a picture where it is wanted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from rich.bar import Bar
from rich.console import Console
from rich.table import Table

from mimamori.cli.picture import save

if TYPE_CHECKING:  # importing it takes the adapt extra, and a second
    from pathlib import Path

    from export.adapting.distilled import Distilled, Point
    from export.adapting.stopping import Weighed

_WIDTH: Final = 14


def show_distilled(told: Distilled, console: Console) -> None:
    """Print every depth: what it keeps of the teacher's AUC, as a bar too, and its rate."""
    points = [*told.curve, told.teacher]
    least, most = min(point.auc for point in points), max(point.auc for point in points)
    floor = max(0.0, least - 0.1 * (most - least) - 0.01)  # so that the least has a bar too
    table = Table("depth", "messages/s", "AUC", "", "F1", "agrees", "correlates", header_style="bold")
    for point in points:
        taught = point is not told.teacher
        chosen = point.depth == told.depth and (taught or told.depth > len(told.curve))
        table.add_row(
            f"{point.depth}{'' if taught else ' teacher'}{' ◀' if chosen else ''}",
            f"{'' if point.measured else '~'}{point.messages_per_second:,.0f}",
            f"{point.auc:.3f}",
            Bar(most - floor, 0.0, point.auc - floor, width=_WIDTH),
            f"{point.f1:.3f}",
            f"{point.agreement:.3f}" if taught else "",
            f"{point.correlation:.3f}" if taught else "",
            style="bold" if chosen else None,
        )
    console.print(table)
    left_out = {"empty": told.empty, "repeated": told.repeated, "labelled examples": told.labelled}
    without = ", ".join(f"{count} {what}" for what, count in left_out.items() if count)
    console.print(
        f"learnt from {told.messages:,} of {told.seen:,} messages"
        f"{f' (left out: {without})' if without else ''}, taught by {told.taught_by}; ~ is interpolated"
    )
    if not told.refitted:
        console.print(
            "[yellow]The teacher was adapted on other examples. If some of these were among them, "
            "AUC and F1 flatter.[/]"
        )
    console.print(
        f"[bold]depth {told.depth}[/]: {told.kept:.1%} of the teacher's AUC, {told.faster:.1f} times its rate"
    )

    if told.cascade is not None:
        console.print(_weighed(told.cascade))


def _weighed(cascade: Weighed) -> str:
    found = (
        f"{cascade.stops:.0%} of the traffic can stop at layer {cascade.depth} of {cascade.full}: "
        f"{cascade.messages_per_second:,.0f} messages/s, {cascade.faster:.1f} times those of layer "
        f"{cascade.full} alone; "
        f"cleared are {cascade.cleared:.0%}, by layer {cascade.full} alone {cascade.cleared_alone:.0%}, "
        f"with one bound of {cascade.tolerated_miss_rate:.0%} on misses either way"
    )
    return f"[bold]cascade[/]: {found}" if cascade.taken else f"no cascade, as {cascade.why} ({found})"


def draw(told: Distilled, path: Path) -> None:
    """Draw AUC, F1 and agreement over messages a second. Raises SettingsError: it cannot write the file."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    figure: Any = Figure(figsize=(7.5, 5), layout="constrained")
    axes = figure.add_subplot()
    points = [*told.curve, told.teacher]
    rates = [point.messages_per_second for point in points]
    axes.plot(rates, [point.auc for point in points], marker="o", label="AUC")
    axes.plot(rates, [point.f1 for point in points], marker="s", alpha=0.6, label="F1 at even odds")
    agreement = [point.agreement for point in told.curve]
    axes.plot(rates[:-1], agreement, marker="^", alpha=0.6, label="agrees with the teacher, on traffic")
    if told.keep is not None:
        kept = told.keep * told.teacher.auc
        axes.axhline(kept, linestyle=":", color="gray", label=f"{told.keep:.0%} of the teacher's AUC")
    for point in points:
        place = (point.messages_per_second, point.auc)
        # The teacher's, which is longer, stands below its point: its neighbours are close.
        aside = ((-6, -18), "left") if point is told.teacher else ((0, 7), "center")
        axes.annotate(_name(told, point), place, aside[0], textcoords="offset points", ha=aside[1])
    chosen = next((point for point in points if point.depth == told.depth), told.teacher)
    at = [chosen.messages_per_second], [chosen.auc]
    axes.plot(*at, marker="o", markersize=14, fillstyle="none", color="black", linestyle="", label="chosen")
    axes.set(xscale="log", xlabel="messages a second, here", ylabel="on the labelled examples, out of fold")
    axes.margins(y=0.12)
    # Few ticks, each written out: "300", and not "3 x 10^2".
    axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda rate, _: f"{rate:,.0f}"))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_title("Distilled readings: the number at a point is how many layers are read")
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.12), ncols=3)  # below: no line runs under it
    axes.grid(visible=True, alpha=0.3)
    save(figure, path)


def _name(told: Distilled, point: Point) -> str:
    return f"{point.depth}, the teacher" if point is told.teacher else str(point.depth)
