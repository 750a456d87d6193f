"""`mimamori replay`: sends a file's messages to the messages topic, or screens those of a topic again."""

import time
from itertools import islice
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from engine.errors import SettingsError, TaskError
from export.rows import Separator
from mimamori.cli.against import FromOffset, FromTopic, Last, ToOffset
from mimamori.cli.labelled import Json
from mimamori.cli.live import Cases, Decisions, Labels
from mimamori.cli.reading import SeparatorOption, notice
from mimamori.cli.rescreen import BundleOption, Range, replay_topic
from worker.settings import Settings
from worker.settings_source import load_settings

SHOWN_EVERY = 1000


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(rich_help_panel="Screen")(replay)


def replay(
    file: Annotated[
        Path | None,
        typer.Argument(help="A JSONL, CSV, TSV or Parquet file: a `text` and perhaps an `id` per row."),
    ] = None,
    bootstrap: Annotated[str | None, typer.Option(help="Kafka brokers [MIMAMORI_BOOTSTRAP].")] = None,
    topic: Annotated[str | None, typer.Option(help="Topic to send to; default: the messages topic.")] = None,
    rate: Annotated[
        float, typer.Option(min=0, help="Messages a second; 0 sends as fast as Kafka takes them.")
    ] = 0,
    limit: Annotated[int | None, typer.Option(min=1, help="Send at most this many messages.")] = None,
    separator: SeparatorOption = None,
    from_topic: FromTopic = None,
    from_offset: FromOffset = None,
    to_offset: ToOffset = None,
    last: Last = None,
    bundle: BundleOption = None,
    decisions: Decisions = None,
    cases: Cases = None,
    labels: Labels = None,
    as_json: Json = False,
) -> None:
    """Send a file's messages to Kafka, as a platform would; or screen a topic's again, and write nothing.

    The whole file is checked first: if a row is not a valid message, nothing is sent. The first line of a CSV
    file names its columns, and a text that contains the separator must be in quotes:

        id,text

        m-1,"I was fine at first, then I wanted to end it all"

    The same row in JSONL:

        {"id": "m-1", "text": "I was fine at first, then I wanted to end it all"}

    The further columns task, conversation_id, author_id, language and sent_at are optional. Parquet files
    need the extra `parquet`.

    With --from-topic in place of FILE nothing is sent. The messages of a range of offsets are screened again
    with --bundle, and set against what people decided about them: whom it would miss, whom it would spare,
    what reviewers would have to look at.

        mimamori replay --from-topic mimamori.messages --last 20000 --bundle NEW
    """
    settings = load_settings(**({"bootstrap": bootstrap} if bootstrap else {}))
    against = from_topic, from_offset, to_offset, last, bundle, decisions, cases, labels
    if file is not None:
        if as_json or any(given is not None for given in against):
            raise SettingsError(
                "FILE is sent, --from-topic is read: give one of them, and only its own options"
            )
        send(file, settings, topic, rate, limit, separator)
        return
    if from_topic is None:
        raise SettingsError(
            "say what to replay: a FILE to send, or --from-topic and --bundle to screen again"
        )
    if topic is not None or rate or limit is not None or separator is not None:
        raise SettingsError(
            "--topic, --rate, --limit and --separator are for a FILE: --from-topic sends nothing"
        )
    replay_topic(
        settings,
        bundle,
        Range(from_topic, from_offset, to_offset, last),
        (labels, cases, decisions),
        as_json=as_json,
    )


def send(
    file: Path,
    settings: Settings,
    topic: str | None,
    rate: float,
    limit: int | None,
    separator: Separator | None,
) -> None:
    """Send a file's messages. Raises TaskError naming the row, or BrokerError; before anything is sent."""
    from mimamori.replay import message_key, read_messages
    from schemas import encode, event_headers
    from schemas.events import Message
    from schemas.topics import load_topics, topic_names
    from worker.errors import BrokerError
    from worker.kafka.sender import Sender
    from worker.kafka.topics import read_topics

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    total = 0
    with Progress(*columns, console=Console(stderr=True)) as progress:
        bar = progress.add_task(f"check {file.name}", total=None)
        for total, _ in enumerate(read_messages(file, separator, notice), start=1):
            if total % SHOWN_EVERY == 0:
                progress.update(bar, completed=total)
        progress.update(bar, completed=total, total=total)
    checked = file.stat()
    total = min(total, limit or total)
    target = topic or topic_names(settings.topic_prefix)[Message]
    # Asked first, since a producer would wait 30 s for a missing broker or topic, and report it less clearly.
    (wanted, *_) = load_topics(settings.topic_prefix)
    (state,) = read_topics(settings.client_config, [msgspec.structs.replace(wanted, name=target)])
    if state.partitions is None:
        raise BrokerError(f"missing on {settings.bootstrap}: {target}; run `mimamori topics apply`")
    started = time.monotonic()
    sent = 0
    with (
        Sender(settings.client_config) as sender,
        Progress(*columns, console=Console(stderr=True)) as progress,
    ):
        bar = progress.add_task(f"{file.name} -> {target}", total=total)
        # The file is read again rather than kept, so that one of any length needs the memory of one row.
        for message in islice(read_messages(file, separator), total):
            if rate and (early := started + sent / rate - time.monotonic()) > 0:
                time.sleep(early)
            sender.send(target, encode(message), message_key(message), event_headers(message))
            sent += 1
            progress.update(bar, completed=sender.confirmed)
        sender.flush()
        progress.update(bar, completed=sender.confirmed)
    seconds = time.monotonic() - started
    now = file.stat()
    if sent != total or (now.st_size, now.st_mtime_ns) != (checked.st_size, checked.st_mtime_ns):
        raise TaskError(
            f"{file} changed while it was sent ({sent} of {total} messages): compare it with {target}"
        )
    Console().print(f"{sent} messages sent to {target} in {seconds:.1f} s, every one confirmed")
