"""`mimamori replay`: send a file's messages to the messages topic."""

import time
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from worker.settings import load_settings


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(rich_help_panel="Screen")(replay)


def replay(
    file: Annotated[Path, typer.Argument(help="JSONL or CSV with a `text` and perhaps an `id` per row.")],
    bootstrap: Annotated[str | None, typer.Option(help="Kafka brokers [MIMAMORI_BOOTSTRAP].")] = None,
    topic: Annotated[str | None, typer.Option(help="Default: the messages topic.")] = None,
    rate: Annotated[
        float, typer.Option(min=0, help="Messages a second; 0 is as fast as Kafka takes them.")
    ] = 0,
    limit: Annotated[int | None, typer.Option(min=1, help="Send at most this many.")] = None,
) -> None:
    """Send a file's messages to Kafka, as a platform would.

    The whole file is checked first: either every row is a message, or nothing is sent.
    """
    from schemas import encode, event_headers
    from schemas.events import Message
    from schemas.topics import load_topics, topic_names
    from worker.errors import BrokerError
    from worker.kafka.sender import Sender
    from worker.kafka.topics import read_topics
    from worker.replay import message_key, read_messages

    settings = load_settings(**({"bootstrap": bootstrap} if bootstrap else {}))
    messages = list(read_messages(file))[:limit]
    target = topic or topic_names(settings.topic_prefix)[Message]
    # A producer would wait 30 s for a broker or a topic that is not there, and then say less.
    (wanted, *_) = load_topics(settings.topic_prefix)
    (state,) = read_topics(settings.client_config, [msgspec.structs.replace(wanted, name=target)])
    if state.partitions is None:
        raise BrokerError(f"missing on {settings.bootstrap}: {target}; run `mimamori topics apply`")
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    started = time.monotonic()
    with (
        Sender(settings.client_config) as sender,
        Progress(*columns, console=Console(stderr=True)) as progress,
    ):
        bar = progress.add_task(f"{file.name} -> {target}", total=len(messages))
        for number, message in enumerate(messages):
            if rate and (early := started + number / rate - time.monotonic()) > 0:
                time.sleep(early)
            sender.send(target, encode(message), message_key(message), event_headers(message))
            progress.update(bar, completed=sender.confirmed)
        sender.flush()
        progress.update(bar, completed=sender.confirmed)
    seconds = time.monotonic() - started
    Console().print(f"{len(messages)} messages sent to {target} in {seconds:.1f} s, every one confirmed")
