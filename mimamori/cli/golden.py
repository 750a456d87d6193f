"""`mimamori golden`: sends cases whose answer is known, to see how reviewers do."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from engine.errors import FatalError, extra_for


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("golden", rich_help_panel="Review")(golden)


def golden(
    items: Annotated[Path, typer.Argument(help="JSONL of golden items, as MIMAMORI_REVIEW_GOLDEN names it.")],
    copies: Annotated[
        int, typer.Option(min=1, max=1000, help="Cases of each item: as many as reviewers.")
    ] = 1,
) -> None:
    """Put cases whose answer is known into the review queue, to see how reviewers do.

    Reviewers cannot tell them from others, and no decision on them is published.
    The desk's page of figures says how many each reviewer answered rightly. An
    item is one line:

        {"id": "rent", "task": "stress", "text": "…", "finding": "not_at_risk"}

    Write the texts yourselves: a person's real message is no exercise.
    """
    with extra_for("golden items", "review"):
        from review.errors import DeskError
        from review.figures.golden import golden_case, read_golden
    from schemas.codec import encode
    from schemas.events import Message, ReviewCase
    from schemas.headers import event_headers
    from schemas.topics import topic_names
    from worker.kafka.sender import Sender
    from worker.settings_source import load_settings

    try:
        found = read_golden(items)
    except DeskError as error:
        raise FatalError(str(error)) from None
    settings = load_settings()
    names = topic_names(settings.topic_prefix)
    with Sender(settings.client_config) as sender:
        for item in found.values():
            for _ in range(copies):
                case = golden_case(item, names[Message], datetime.now(UTC))
                sender.send(names[ReviewCase], encode(case), case.id.encode(), event_headers(case))
    typer.echo(f"{len(found) * copies} cases of {len(found)} golden items are in the queue.")
