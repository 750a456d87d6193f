"""`mimamori golden`: sends cases whose answer is known, to see how reviewers do."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from engine.errors import FatalError, extra_for

if TYPE_CHECKING:
    from review.figures.imitation import Imitation
    from worker.kafka.record import Record

LATEST: Final = 1000


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

    Each looks like the latest real cases of its task, which this command reads
    from the topic: there must be some, with text. So reviewers cannot tell them
    from others until they have judged them. No decision on them is published.
    The desk's page of figures says how many each reviewer answered rightly. An
    item is one line:

        {"id": "rent", "task": "stress", "text": "…", "finding": "not_at_risk"}

    Write the texts yourselves: a person's real message is no exercise. Run it
    where the desk's settings are (MIMAMORI_REVIEW_…): only the desk's user may
    read cases.
    """
    with extra_for("golden items", "review"):
        from review.errors import DeskError
        from review.figures.golden import read_golden
        from review.settings import ENV_PREFIX, load_settings
    from schemas.codec import encode
    from schemas.events import ReviewCase
    from schemas.headers import event_headers
    from schemas.tls_files import FileFault
    from schemas.topics import topic_names
    from worker.access import options_of
    from worker.kafka.latest import latest
    from worker.kafka.sender import Sender

    try:
        found = read_golden(items)
        if not found:
            raise FatalError(f"there is no golden item in {items}")
        settings = load_settings()
        kafka = {"bootstrap.servers": settings.bootstrap, **options_of(settings)}
        topic = topic_names(settings.topic_prefix)[ReviewCase]
        imitation = _imitation(latest(kafka, topic, LATEST))
        # All are made before one is sent: an item that is wrong stops the others.
        cases = [imitation.case(item, datetime.now(UTC)) for item in found.values() for _ in range(copies)]
    except DeskError as error:
        raise FatalError(str(error)) from None
    except FileFault as fault:
        raise FatalError(fault.line(ENV_PREFIX)) from None
    with Sender(kafka) as sender:
        for case in cases:
            sender.send(topic, encode(case), case.id.encode(), event_headers(case))
    typer.echo(f"{len(cases)} cases of {len(found)} golden items are in the queue.")


def _imitation(records: Sequence["Record"]) -> "Imitation":
    """What real cases look like, from the latest records of their topic."""
    from review.figures.imitation import Imitation
    from schemas.codec import CodecError, decode
    from schemas.events import ReviewCase
    from schemas.ids import origin_of_case

    real, gone = [], []
    for record in records:
        try:
            real.append(decode(ReviewCase, record.value or b""))
        except CodecError:
            # Deleted, or of a later version: its key says which place it was of.
            if (origin := origin_of_case((record.key or b"").decode("utf-8", "replace"))) is not None:
                gone.append(origin)
    return Imitation(real, gone, whole=len(records) < LATEST)
