"""`mimamori erase`: has the review desks erase a message's or an author's words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from engine.errors import FatalError, TaskError, extra_for

if TYPE_CHECKING:  # Importing these at run time would need the review extra.
    from review.erasing import Erased
    from review.retention.forgetting import What
    from review.retention.holdings import Holding


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("erase", rich_help_panel="Review")(erase)


def erase(
    message: Annotated[str | None, typer.Option(help="Id of the message.")] = None,
    author: Annotated[
        str | None, typer.Option(help="Id of the author: everything that they have sent until now.")
    ] = None,
    by: Annotated[
        str | None, typer.Option(help="Who asks, for the audit log; default: this machine's user.")
    ] = None,
    wait: Annotated[float, typer.Option(min=0, help="How many seconds to wait for the desks.")] = 60,
) -> None:
    """Erase the words of a message, or of an author, from the review desks and their topics.

    Run it where the desk's settings are (MIMAMORI_REVIEW_…), since it signs with the desk's key. Each desk
    drops the text, highlights, author and conversation of each case, open or decided, and has Kafka forget
    them. An open case stays open. It says what Kafka still holds and until when; run it as often as you like.
    """
    import asyncio
    import getpass
    import logging

    with extra_for("erasing", "review"):
        from review.erasing import erase_everywhere, held_by_kafka
        from review.errors import DeskError
        from review.kafka.signing import open_signing
        from review.settings import load_settings
    if (message is None) == (author is None):
        raise TaskError("give either --message or --author")
    what: What = "author" if message is None else "message"
    wanted = message or author
    if not wanted:
        raise TaskError(f"--{what} is empty: give an id")
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # the error below says it, once
    console = Console(soft_wrap=True)
    try:
        settings = load_settings()
        signing, asker = open_signing(settings, may_make_key=False), by or getpass.getuser()
        with Console(stderr=True).status(f"waiting for every desk, for {wait:.0f} s at most"):
            held = asyncio.run(held_by_kafka(settings))
            erased = asyncio.run(erase_everywhere(settings, signing, what, wanted, asker, wait_s=wait))
    except DeskError as error:
        raise FatalError(str(error)) from None
    _show_cases(erased, console)
    _show_held(held, erased, console)
    if erased.silent:
        raise FatalError(
            f"no desk has answered for {len(erased.silent)} partitions: start the desks; what was asked for "
            "waits for them. Run this again to see it done"
        )


def _show_cases(erased: Erased, console: Console) -> None:
    for case, said in erased.cases.items():
        console.print(f"{escape(case)}: {escape(said)}")
    console.print(f"{len(erased.cases)} cases erased at the desks" if erased.cases else "no case to erase")


def _show_held(held: list[Holding], erased: Erased, console: Console) -> None:
    from review.retention.holdings import in_words

    table = Table(box=None, padding=(0, 2, 0, 0))
    for title in ("topic", "holds", "until at the latest"):
        table.add_column(title, overflow="fold")
    for each in held:
        if each.gone_after is None:
            until = "for ever: its settings delete nothing"
        else:
            time = (erased.asked_at + each.gone_after).isoformat(sep=" ", timespec="minutes")
            until = f"{time} ({in_words(each.gone_after)})"
        if each.assumed:
            until += " *"
        table.add_row(each.topic, each.what, until)
    console.print(table)
    if any(each.assumed for each in held):
        console.print(
            "* By its definition: the broker does not let this user see its settings. `mimamori topics list` "
            "of a user who may says whether they differ."
        )
    console.print(
        "Until then, whoever may read a topic can still read what it holds. The platform's own copies, and "
        "those of other consumers, are not Mimamori's to erase."
    )
