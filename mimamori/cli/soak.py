"""`mimamori soak`: checks that every message has exactly one outcome, whatever is killed."""

import shutil
import tempfile
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console

from engine.errors import SettingsError

FEWEST = 3  # brokers that go on without one


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(rich_help_panel="Develop")(soak)


def soak(
    records: Annotated[int, typer.Option(min=100, help="Numbered messages to send.")] = 200_000,
    kills: Annotated[
        int,
        typer.Option(
            min=0, help="How often to kill -9 a worker; other faults come in proportion. 0: no faults."
        ),
    ] = 40,
    seed: Annotated[
        int, typer.Option(help="Seed of the messages and faults; the same seed gives the same ones.")
    ] = 1,
    json: Annotated[
        Path | None, typer.Option(help="Write the result, with the time of every fault, to this file.")
    ] = None,
    workers: Annotated[int, typer.Option(min=2, help="Number of worker processes.")] = 3,
    partitions: Annotated[int, typer.Option(min=1, help="Number of partitions of every topic.")] = 6,
    brokers: Annotated[
        int,
        typer.Option(
            min=1,
            max=5,
            help="Brokers of Kafka. With 3, leaders, the controller and the coordinator are killed, one is "
            "frozen past its session, and one's disk is full (600 MB of memory each).",
        ),
    ] = 1,
    protocol: Annotated[
        Literal["classic", "consumer"],
        typer.Option(help="Protocol of the workers' group: the classic one, or that of KIP-848."),
    ] = "classic",
    network: Annotated[
        bool,
        typer.Option(
            "--network",
            help="Give brokers and workers hosts of their own in a private network, where packets are lost "
            "without a close: a broker is cut off from everyone or from the other brokers alone, a worker "
            "from all brokers or one, 5 to 30 % of packets are lost, and a disk is really full. It needs "
            "--brokers 3, Linux, iproute2, and root or user namespaces. Nothing of it reaches this machine's "
            "own network, and nothing is left of it, even after kill -9.",
        ),
    ] = False,
    apart: Annotated[
        bool,
        typer.Option(
            "--apart",
            help="Let each fault wait until the stream has recovered from the one before, and say how long a "
            "partition stood still for each kind.",
        ),
    ] = False,
    engine: Annotated[
        Literal["canned", "bundle"],
        typer.Option(help="canned takes scores from a hash; bundle runs a model."),
    ] = "canned",
    bundle: Annotated[
        Path | None, typer.Option(help="Folder of the model bundle, with --engine bundle.")
    ] = None,
) -> None:
    """Send numbered messages through workers that are killed, and prove every outcome is there exactly once.

    It starts its own Kafka and Redis, and whole workers, by default with canned scores in place of the model.
    An independent read-committed reader then checks that every message has one label or one dead letter with
    the right reason, that outcomes are in order per partition, and that exactly the labels that ask for a
    review case have one.

    It exits with 1 on any loss, repetition, disorder or mismatch, and then keeps the workers' logs.
    """
    from mimamori.cli.progress import bars
    from mimamori.sandbox import java
    from mimamori.soak import enclosure
    from mimamori.soak.run import Setup
    from mimamori.soak.run import soak as run_soak

    if engine == "bundle" and bundle is None:
        raise SettingsError("--engine bundle needs --bundle FOLDER: build one with `mimamori bundle build`")
    if network and engine == "bundle":
        raise SettingsError("--network runs with --engine canned only: leave --engine out")
    if network and brokers < FEWEST:
        raise SettingsError("--network needs --brokers 3: with fewer, one that is cut off stops everything")
    if network:
        java.kafka_classpath(Console(stderr=True).print)  # inside, nothing can be downloaded
        enclosure.enter()
    setup = Setup(
        records=records,
        kills=kills,
        seed=seed,
        workers=workers,
        partitions=partitions,
        brokers=brokers,
        protocol=protocol,
        network=network,
        apart=apart,
        bundle=bundle if engine == "bundle" else None,
    )
    folder = Path(tempfile.mkdtemp(prefix="mimamori-soak-"))
    try:
        with bars() as report:
            result = run_soak(setup, folder, lambda seen, total: report("outcomes", seen, total))
    except KeyboardInterrupt:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    if json is not None:
        json.write_bytes(result.to_json())
    console = Console(stderr=True, soft_wrap=True, highlight=False, markup=False)
    console.print(result.line())
    for kind, (count, median, longest) in result.still_s.items():
        stood = f"a partition stood still for {median:5.1f} s, at most {longest:5.1f} s"
        console.print(f"  {kind:<17} {count:>3} times: {stood}")
    if not result.sound:
        console.print(f"the workers' logs are in {folder}")
        raise typer.Exit(1)
    shutil.rmtree(folder, ignore_errors=True)
