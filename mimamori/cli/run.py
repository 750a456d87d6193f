"""`mimamori run`: starts a worker."""

import signal
import sys
from pathlib import Path
from typing import Annotated

import typer

from engine.device_names import DeviceChoice
from worker.settings_source import load_settings
from worker.telemetry.logs import configure_logs

RENEW = 75  # EX_TEMPFAIL: not done, start it again


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(rich_help_panel="Screen")(run)


def run(
    bundle: Annotated[Path | None, typer.Option(help="Folder of the model bundle [MIMAMORI_BUNDLE].")] = None,
    bootstrap: Annotated[str | None, typer.Option(help="Kafka brokers [MIMAMORI_BOOTSTRAP].")] = None,
    group: Annotated[str | None, typer.Option(help="Consumer group [MIMAMORI_GROUP].")] = None,
    device: Annotated[DeviceChoice | None, typer.Option(help="Where to run [MIMAMORI_DEVICE].")] = None,
    shadow: Annotated[
        bool, typer.Option("--shadow", help="Only watch: write shadow labels, and nothing else.")
    ] = False,
    share: Annotated[
        float | None,
        typer.Option(help="Share of the messages that the shadow screens [MIMAMORI_SHADOW_SHARE]."),
    ] = None,
    at_most: Annotated[
        float | None,
        typer.Option(help="Most messages a second that the shadow screens [MIMAMORI_SHADOW_AT_MOST]."),
    ] = None,
) -> None:
    """Screen messages from Kafka until SIGTERM, then finish the batches in flight and exit.

    When the PEM files of its access to Kafka are renewed, it does the same and exits with 75, to be started
    again.

    Every setting is an environment variable MIMAMORI_… or a line of the YAML file that MIMAMORI_SETTINGS
    names; the options of this command override both. `mimamori doctor --settings` checks and lists them all.

    With --shadow the worker changes nothing for anybody: it reads the same messages in a consumer group of
    its own, and writes what its bundle would have said to the topic shadow-labels. `mimamori compare` sets
    that against the labels.
    """
    given: dict[str, object] = {"bundle": bundle, "bootstrap": bootstrap, "group": group, "device": device}
    given |= {"shadow": shadow or None, "shadow_share": share, "shadow_at_most": at_most}
    settings = load_settings(**{name: value for name, value in given.items() if value is not None})
    configure_logs(settings.log_format)
    # Set before anything else: the first process of a container gets no signal that it has no handler for.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: sys.exit(0))
    from worker.startup import settle_memory, start

    worker = start(settings)
    settle_memory()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: worker.app.stop())
    worker.run()
    if worker.app.ended_to_renew:
        raise typer.Exit(RENEW)
