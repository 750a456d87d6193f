"""`mimamori demo`: screens sample conversations on this machine, and starts everything that this needs."""

import os
import secrets
import shutil
import signal
import statistics
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from schemas.events import DeadLetter, Label, ReviewCase

COLOURS = {"clear": "green", "uncertain": "yellow", "at_risk": "red"}
TEXT_WIDTH = 64


def register(app: typer.Typer) -> None:
    """Add the command to the app."""
    app.command(rich_help_panel="Screen")(demo)


def demo(
    task: Annotated[str, typer.Option(help="A shipped task: stress or suicide-risk.")] = "stress",
    rate: Annotated[float, typer.Option(min=0.1, help="Messages a second in the first part.")] = 12,
    keep: Annotated[bool, typer.Option(help="Keep it running, with the review desk, until Ctrl-C.")] = False,
) -> None:
    """Watch it work: a real Kafka, a real model, sample conversations, labels and cases as they arrive.

    The first run builds the bundle, which takes a minute; later runs start in seconds. Nothing leaves this
    machine.
    """
    import schemas
    from engine.bundle import read_manifest
    from export.adapting.shipped import shipped_bundle
    from mimamori.cli.progress import bars
    from mimamori.demo import stage
    from mimamori.sandbox import Sandbox
    from worker.kafka.reader import Reader
    from worker.kafka.topics import apply_topics

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that SIGTERM ends what was started
    console = Console(highlight=False, soft_wrap=True)
    home = Path(os.environ.get("MIMAMORI_HOME", "~/.cache/mimamori")).expanduser()
    with bars() as progress:
        bundle = shipped_bundle(task, home / "bundles", progress)
    manifest, fingerprint = read_manifest(bundle)
    log = home / "demo-worker.log"
    with Sandbox(echo=console.print) as sandbox:
        # On someone else's Kafka, each run uses topics of its own.
        foreign = "KAFKA_BOOTSTRAP" in os.environ
        prefix = f"mimamori-demo-{secrets.token_hex(3)}." if foreign else "mimamori."
        names = schemas.topic_names(prefix)
        apply_topics(
            {"bootstrap.servers": sandbox.bootstrap},
            schemas.load_topics(prefix, replication_factor=1, partitions=4),
        )
        console.print(f"Apache Kafka on {sandbox.bootstrap}, Redis on {sandbox.redis_url}")
        with stage.worker_process(sandbox, prefix, bundle, log) as metrics:
            console.print(
                f"worker reads with {stage.what_runs(metrics)}; {manifest.source.name}, "
                f"task {manifest.task.name}\n"
            )
            outcomes = [names[kind] for kind in (Label, ReviewCase, DeadLetter)]
            with Reader({"bootstrap.servers": sandbox.bootstrap}, outcomes, from_beginning=False) as reader:
                feed = stage.Feed(sandbox.bootstrap, names[schemas.Message])
                tally = Tally()
                records = stage.sample_records()
                stage.sending(feed, records, rate)
                for arrival in stage.arrivals(reader, feed, prefix, len(records)):
                    tally.count(arrival.event, arrival.seconds)
                    console.print(_line(arrival.event, feed.texts))
                again = Tally()
                burst = stage.sample_records("-again")
                started = time.monotonic()
                stage.sending(feed, burst, 0)
                for arrival in stage.arrivals(reader, feed, prefix, len(burst)):
                    again.count(arrival.event, arrival.seconds)
                burst_s = time.monotonic() - started
            _summary(console, tally, again, len(records), len(burst), burst_s)
            if keep:
                _keep(console, sandbox.bootstrap, prefix, home / "demo-review.log", metrics)
    _next(console, bundle, fingerprint, log)


class Tally:
    """Counts the events that came back."""

    def __init__(self) -> None:
        self.verdicts: Counter[str] = Counter()
        self.reasons: Counter[str] = Counter()
        self.kinds: Counter[str] = Counter()
        self.cached = 0
        self.seconds: list[float] = []

    def count(self, event: Label | ReviewCase | DeadLetter, seconds: float | None) -> None:
        """Count one event."""
        match event:
            case Label(verdict=verdict, cached=cached):
                self.verdicts[verdict] += 1
                self.cached += cached
                if seconds is not None:
                    self.seconds.append(seconds)
            case ReviewCase(kind=kind):
                self.kinds[kind] += 1
            case DeadLetter(reason=reason):
                self.reasons[reason] += 1

    @property
    def outcomes(self) -> int:
        """The number of labels and dead letters."""
        return self.verdicts.total() + self.reasons.total()


def _line(event: Label | ReviewCase | DeadLetter, texts: dict[str, str]) -> str:
    match event:
        case Label():
            colour = COLOURS[event.verdict]
            level = event.severity.level if event.severity and event.verdict != "clear" else ""
            text = _shorten(texts.get(event.message_id, ""))
            score = f"[{colour}]{event.verdict:<9} {_bar(event.risk)} {event.risk:.2f}[/]"
            return f"{score} {level:<10} {escape(text)}"
        case ReviewCase():
            why = {"quality_sample": "sampled", "unread": "unread"}.get(event.kind, "to review")
            text = _shorten(texts.get(event.message_id, "(it cannot be read)"))
            return f"[cyan]{why:<9} priority {event.priority:3.0f}[/]             {escape(text)}"
        case DeadLetter():
            return f"[magenta]dead letter[/] {event.reason}: {escape(event.detail)}"


def _bar(share: float) -> str:
    full = round(share * 8)
    return "█" * full + "░" * (8 - full)


def _shorten(text: str) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= TEXT_WIDTH else flat[: TEXT_WIDTH - 1] + "…"


def _summary(
    console: Console, first: Tally, again: Tally, sent: int, sent_again: int, burst_s: float
) -> None:
    table = Table(title="What happened", title_justify="left", show_header=False)
    table.add_column(style="bold")
    outcomes = first.outcomes + again.outcomes
    # What follows from the verdicts on is of the first time alone.
    table.add_row("records in", f"{sent + sent_again} ({sent}, and then all again)")
    table.add_row(
        "outcomes out",
        f"{outcomes} (labels {outcomes - (first.reasons + again.reasons).total()}, "
        f"dead letters {(first.reasons + again.reasons).total()})",
    )
    table.add_row("verdicts", ", ".join(f"{name} {n}" for name, n in first.verdicts.most_common()))
    table.add_row("review cases", ", ".join(f"{name} {n}" for name, n in first.kinds.most_common()) or "none")
    table.add_row("dead letters", ", ".join(f"{name} {n}" for name, n in first.reasons.most_common()))
    table.add_row(
        "latency", f"p50 {_ms(first.seconds, 50)}, p99 {_ms(first.seconds, 99)}, send to label, first time"
    )
    table.add_row(
        "all again, at once", f"{sent_again / burst_s:.0f} records/s, {again.cached} labels from the cache"
    )
    console.print()
    console.print(table)
    if outcomes != sent + sent_again:
        console.print(
            f"[bold red]{sent + sent_again} records in and {outcomes} outcomes out: something is wrong[/]"
        )
        raise typer.Exit(1)


def _ms(seconds: list[float], percent: int) -> str:
    if len(seconds) < 2:  # noqa: PLR2004 - quantiles need two
        return "unknown"
    return f"{statistics.quantiles(seconds, n=100, method='inclusive')[percent - 1] * 1000:.0f} ms"


def _keep(console: Console, bootstrap: str, prefix: str, log: Path, metrics: str) -> None:
    """Run the review desk beside the worker until Ctrl-C."""
    from mimamori import process

    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    log.unlink(missing_ok=True)
    # The desk's table gets a new folder each time, because it belongs to a Kafka that ends with the demo.
    with tempfile.TemporaryDirectory() as folder:
        settings = {"bootstrap": bootstrap, "topic_prefix": prefix, "folder": folder}
        desk = process.start(process.DESK, settings, log)
        console.print(
            f"\nreview desk  http://127.0.0.1:6066/\nmetrics      {metrics}\nbroker       {bootstrap}"
        )
        console.print("Ctrl-C ends all of it.")
        while not stopping.wait(0.5) and desk.poll() is None:
            pass
        if desk.poll() is not None:
            console.print(f"[bold red]the review desk ended by itself, its log says why: {log}[/]")
        process.end(desk, 30)


def _next(console: Console, bundle: Path, fingerprint: str, log: Path) -> None:
    # `make demo` leaves it in an environment that the reader's shell knows nothing of.
    command = "mimamori" if shutil.which("mimamori") else os.path.relpath(sys.argv[0])
    console.print(
        f"""
Where to look next
  the bundle        {command} bundle show {os.path.relpath(bundle)} ({fingerprint[:12]})
  the worker's log  {os.path.relpath(log)}
  the review desk   {command} demo --keep
  your own Kafka    {command} topics apply, then run, and replay FILE; check with doctor
  your own task     docs/how-to/write-a-task.md""",
        markup=False,
    )
