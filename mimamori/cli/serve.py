"""`mimamori serve` answers programs that are not on Kafka, by HTTP."""

import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from engine.device_names import DeviceChoice
from engine.errors import extra_for
from worker.settings_source import load_settings
from worker.telemetry.logs import configure_logs


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(rich_help_panel="Screen")(serve)


def serve(
    bundle: Annotated[Path | None, typer.Option(help="Folder of the model bundle [MIMAMORI_BUNDLE].")] = None,
    device: Annotated[DeviceChoice | None, typer.Option(help="Where to run [MIMAMORI_DEVICE].")] = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on [MIMAMORI_FRONT_HOST].")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on [MIMAMORI_FRONT_PORT].")] = None,
) -> None:
    """Screen texts that come by HTTP, in the shape of OpenAI's moderation API and of Perspective's.

    For programs that are not on Kafka yet. Point a client that you have at this address, and change nothing
    else:

        mimamori serve --bundle bundle
        curl 127.0.0.1:8088/v1/moderations --json '{"input": "I cannot sleep for worrying"}'

    Each result says in its field `mimamori` what a worker's label would say. A text whose `verdict` is not
    `clear` must be seen by a person, and **bringing it there is the caller's task**: this command keeps
    nothing, writes no labels and opens no review cases. A text for which no answer came was not screened.

    What decides a score are the worker's settings (MIMAMORI_BUNDLE, MIMAMORI_LOWER and so on); who may ask,
    and how long a request may wait, are settings MIMAMORI_FRONT_…: docs/reference/settings.md lists both.
    Under more load than the model can read, requests get 503 and Retry-After instead of a late answer.
    docs/how-to/screen-by-http.md shows how to move from Perspective or OpenAI.
    """
    with extra_for("the HTTP front", "front,cpu"):
        from front.settings import load_front_settings
        from front.startup import start
        from review.logs import capture_library_logs
    from worker.startup import settle_memory

    given = {"bundle": bundle, "device": device}
    settings = load_settings(**_set(given))
    own = load_front_settings(**_set({"host": host, "port": port}))
    configure_logs(settings.log_format)
    capture_library_logs()
    # Set before anything else: the first process of a container gets no signal that it has no handler for.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: sys.exit(0))
    service = start(settings, own)
    settle_memory()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: service.stop())
    service.run()


def _set(given: Mapping[str, object]) -> dict[str, Any]:
    return {name: value for name, value in given.items() if value is not None}
