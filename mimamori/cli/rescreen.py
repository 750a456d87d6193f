"""`mimamori replay --from-topic`: screens messages again with another bundle, against people's decisions."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from engine.errors import SettingsError, extra_for
from mimamori.cli.against import note_pin, show_left_out, show_side
from mimamori.cli.labelled import print_report, two_columns
from mimamori.cli.progress import bars
from schemas.events import Label, ReviewCase, ReviewDecision
from schemas.topics import topic_names
from worker.telemetry.logs import configure_logs

if TYPE_CHECKING:  # Importing these at run time would need the adapt extra, and takes a second.
    from export.comparing.judged import Judged
    from mimamori.comparing.rescreen import Rescreened
    from worker.settings import Settings

BundleOption = Annotated[
    Path | None,
    typer.Option(
        "--bundle",
        help="The bundle that screens the messages again.",
        rich_help_panel="Against people's decisions, in place of FILE",
    ),
]


class Range(NamedTuple):
    """What the options say of the range, as they were given."""

    topic: str
    from_offset: int | None
    to_offset: int | None
    last: int | None


def replay_topic(
    settings: Settings,
    bundle: Path | None,
    ranged: Range,
    topics: tuple[str | None, str | None, str | None],
    *,
    as_json: bool,
) -> None:
    """Screen the range again and print the report. `topics` are those of labels, cases and decisions.

    Raises SettingsError: the options contradict each other. BrokerError, BundleError, DeviceError: as a
    worker.
    """
    with extra_for("replaying against decisions", "adapt,cpu"):
        from mimamori.comparing.rescreen import Reading, Topics, rescreen
    from mimamori.comparing.screen import Screen, new_trust
    from mimamori.comparing.sources import asked_of
    from worker.registry.awaited import message_reader
    from worker.registry.label_reading import LabelReader

    if bundle is None:
        raise SettingsError("--from-topic screens the messages again: say with which --bundle")
    configure_logs("console", logging.WARNING)  # the report says what runs
    asked = asked_of(
        ranged.topic, from_offset=ranged.from_offset, to_offset=ranged.to_offset, last=ranged.last
    )
    names = topic_names(settings.topic_prefix)
    wanted = Topics(
        topics[0] or names[Label], topics[1] or names[ReviewCase], topics[2] or names[ReviewDecision]
    )
    reading = Reading(settings.max_text_chars, message_reader(settings), LabelReader.of(settings))
    with bars() as progress:
        screen = Screen(settings, bundle, new_trust(settings))
        found = rescreen(settings.client_config, screen, asked, wanted, reading, progress)
    note_pin(settings, found.new)
    print_report(found, _show, as_json=as_json)


def _show(found: Rescreened) -> None:
    console = Console(soft_wrap=True)
    table = two_columns("task", found.task)
    table.add_row("messages", f"{found.messages} of {escape(found.topic)}")
    ranges = ", ".join(f"{partition}: {begin} to {end}" for partition, begin, end in found.spans)
    table.add_row("offsets of partition", ranges)
    show_side(table, "NEW", found.new)
    console.print(table)
    judged = Table(
        "people saw",
        "messages",
        "decided",
        "at risk",
        "NEW would clear",
        "dismissed",
        "NEW would send",
        "unsure",
    )
    for name, kind in (("escalations", found.escalated), ("quality samples", found.sampled)):
        judged.add_row(name, *map(str, _cells(kind)))
    console.print(judged)
    show_left_out(console, found.left_out)
    for sentence in found.conclusion:
        console.print(escape(sentence), highlight=False)
    console.print("\n[bold]What this cannot tell[/]")
    for sentence in found.cannot_tell:
        console.print(f"- {escape(sentence)}", highlight=False)


def _cells(kind: Judged) -> tuple[int, ...]:
    return (
        kind.messages,
        kind.decided,
        kind.at_risk,
        kind.missed,
        kind.dismissed,
        kind.raised,
        kind.unsure,
    )
