"""`mimamori audit`: reads the review desk's audit log, and exports it."""

from __future__ import annotations

import re
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from engine.errors import FatalError, TaskError, extra_for

if TYPE_CHECKING:  # Importing these at run time would need the review extra.
    from review.audit.log import Seen

_AGO = re.compile(r"([0-9]{1,6})([mhdw])", re.ASCII)
_WIDE = 2_000
_SPANS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("audit", rich_help_panel="Review")(audit)


def audit(
    since: Annotated[
        str, typer.Option(help="From when: 90m, 24h, 7d, 4w, or a time such as 2026-11-20T08:00+09:00.")
    ] = "24h",
    until: Annotated[str | None, typer.Option(help="Up to when, in the same words; default: now.")] = None,
    case: Annotated[str | None, typer.Option(help="Only what was done about this case.")] = None,
    actor: Annotated[str | None, typer.Option(help="Only what this person did, by their id.")] = None,
    action: Annotated[str | None, typer.Option(help="Only this: revealed, decided, refused …")] = None,
    out: Annotated[
        Path | None, typer.Option(help="Write all of it to this .csv or .jsonl file, instead of a table.")
    ] = None,
) -> None:
    """Show who saw which case or did what at the review desk, and when.

    It reads the topic `review-audit` with the review desk's settings (MIMAMORI_REVIEW_…). Records that no
    desk has signed are shown as such. There is no text in it, and no reviewer's note.
    """
    import asyncio
    import logging

    with extra_for("the audit log", "review"):
        from review.audit.desks import keys_of_desks
        from review.audit.log import Asked, read_log
        from review.errors import DeskError
        from review.settings import load_settings
    if out is not None and out.suffix not in {".csv", ".jsonl"}:
        raise TaskError(f"--out {out}: name a .csv or a .jsonl file")
    now = datetime.now(UTC)
    asked = Asked(
        _time(since, now, "--since"), _time(until, now, "--until") if until else None, case, actor, action
    )
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # the error below says it, once
    try:
        settings = load_settings()
        with Console(stderr=True).status(f"reading {settings.audit_topic}"):
            found = asyncio.run(read_log(settings, keys_of_desks(settings), asked))
    except DeskError as error:
        raise FatalError(str(error)) from None
    # Whoever pipes it on looks for whole ids in it.
    console = Console(stderr=out is not None, width=None if sys.stdout.isatty() else _WIDE)
    if out is None:
        _show(found.records, console)
    else:
        _write(out, found.records)
        console.print(f"{len(found.records)} records in {out}")
    if bad := sum(seen.fault is not None for seen in found.records):
        console.print(f"[bold red]{bad} of them were not signed by a desk[/]: do not rely on them")
    if found.unreadable:
        console.print(f"{found.unreadable} records of the topic are no audit records")


def _time(text: str, now: datetime, option: str) -> datetime:
    try:
        if ago := _AGO.fullmatch(text):
            return now - timedelta(**{_SPANS[ago[2]]: int(ago[1])})
        time = datetime.fromisoformat(text)
    except (ValueError, OverflowError):
        raise TaskError(
            f"{option} {text}: give 90m, 24h, 7d, 4w, or a time such as 2026-11-20T08:00+09:00"
        ) from None
    return time if time.tzinfo else time.astimezone()


def _show(records: list[Seen], console: Console) -> None:
    table = Table(box=None, padding=(0, 2, 0, 0))
    for title in ("at", "who", "did", "case", "detail", "signature"):
        table.add_column(title, overflow="fold")  # an id that is cut off would be none
    for seen in records:
        record = seen.record
        cells = (
            record.actor,
            record.action,
            record.case_id or "",
            record.detail or "",
            seen.fault or "valid",
        )
        table.add_row(record.at.isoformat(timespec="seconds"), *map(escape, cells))
    console.print(table if records else "nothing of that is written down")


def _write(out: Path, records: list[Seen]) -> None:
    from review.audit.export import as_csv, as_json_lines

    lines = as_csv(records) if out.suffix == ".csv" else as_json_lines(records)
    try:
        with out.open("w", encoding="utf-8", newline="") as file:
            file.writelines(lines)
    except OSError as error:
        raise TaskError(f"cannot write {out}: {error.strerror}") from None
