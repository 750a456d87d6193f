"""`mimamori sandbox`: runs a real Apache Kafka and Redis on this machine, until Ctrl-C."""

import secrets
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

if TYPE_CHECKING:  # the production image has this file, but not the package `sandbox`
    from mimamori.sandbox import Sandbox

LOOK_EVERY_S = 1.0


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(rich_help_panel="Develop")(sandbox)


def sandbox(
    data: Annotated[
        Path | None, typer.Option(help="Keep data and logs in this folder; default: a temporary one.")
    ] = None,
    kafka_port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port of Kafka; 0 takes a free one.")
    ] = 9092,
    redis_port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port of Redis; 0 takes a free one.")
    ] = 6379,
    redis: Annotated[bool, typer.Option(help="Run a Redis too.")] = True,
    brokers: Annotated[
        int,
        typer.Option(
            min=1,
            max=5,
            help="Brokers of Kafka; with 3 or more, all is kept 3 times (600 MB of memory each).",
        ),
    ] = 1,
    secured: Annotated[
        bool, typer.Option(help="Kafka asks for logins and has ACLs, with a user for each part of Mimamori.")
    ] = False,
    topic_prefix: Annotated[
        str, typer.Option(envvar="MIMAMORI_TOPIC_PREFIX", help="Prefix of the topics' names.")
    ] = "mimamori.",
) -> None:
    """Run Apache Kafka and Redis on this machine until Ctrl-C, and create the topics.

    This is for development only. The first start downloads 46 MB, unless KAFKA_HOME names a Kafka
    distribution. Where KAFKA_BOOTSTRAP or REDIS_URL names a running server, that one is used. Servers that
    this command started end with it, even when it is killed.
    """
    from mimamori.sandbox import Sandbox
    from mimamori.sandbox.logins import make_logins
    from schemas.topics import load_topics
    from worker.kafka.topics import apply_topics

    console = Console(highlight=False, markup=False, soft_wrap=True)
    with Sandbox(
        data, kafka_port, redis_port, redis=redis, brokers=brokers, secured=secured, echo=console.print
    ) as running:
        # From here on, a signal ends the wait below, after which the servers are shut down.
        stopping = threading.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: stopping.set())
        states = apply_topics(
            running.admin_config, load_topics(topic_prefix, replication_factor=min(brokers, 3))
        )
        console.print(
            f"Apache Kafka  {running.bootstrap}  topics: " + ", ".join(s.definition.name for s in states)
        )
        console.print(f"Redis         {running.redis_url if redis else 'none'}")
        console.print(f"Logs          {running.folder}\n")
        if secured:
            for part, file in make_logins(running, topic_prefix).items():
                console.print(f"Login         {part}: set -a; . {file}")
        if secured and brokers == 1:
            tls = running.encrypted
            console.print(
                f"With TLS      {tls.sasl} SASL_SSL, {tls.mutual} SSL with a certificate; ssl_ca: {tls.ca}"
            )
        for name, value in _settings(running, topic_prefix, redis=redis):
            console.print(f"export {name}={value}")
        console.print("\nReady. Ctrl-C ends both.")
        while not stopping.wait(LOOK_EVERY_S):
            running.check()
    console.print("Ended." if data is None else f"Ended. Data is kept in {data}.")


def _settings(running: "Sandbox", topic_prefix: str, *, redis: bool) -> Iterator[tuple[str, str]]:
    """The variables that another terminal must export so that a worker uses these servers."""
    yield "MIMAMORI_BOOTSTRAP", running.bootstrap
    yield "MIMAMORI_TOPIC_PREFIX", topic_prefix
    if redis:
        yield "MIMAMORI_REDIS_URL", running.redis_url
        yield "MIMAMORI_CACHE_SECRET", secrets.token_hex(16)
