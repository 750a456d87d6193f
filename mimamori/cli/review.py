"""`mimamori review`: starts the review desk. docs/reference/settings.md lists its settings."""

import typer

from engine.errors import FatalError, extra_for
from worker.telemetry.logs import configure_logs


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("review", rich_help_panel="Review")(review)


def review() -> None:
    """Serve the review desk: the queue of cases, as a web page and a JSON API.

    Its settings are environment variables MIMAMORI_REVIEW_…; docs/reference/settings.md lists them.
    """
    with extra_for("the review desk", "review"):
        from review.errors import DeskError
        from review.run import run
        from review.settings import load_settings
    try:
        settings = load_settings()
        configure_logs(settings.log_format)
        run(settings)
    except DeskError as error:
        raise FatalError(str(error)) from None
