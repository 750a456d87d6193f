"""`mimamori review` starts the review desk; `mimamori review-token` lets a program use its API."""

from typing import Annotated

import typer

from engine.errors import FatalError, SettingsError, extra_for
from worker.telemetry.logs import configure_logs


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("review", rich_help_panel="Review")(review)
    app.command("review-token", rich_help_panel="Review")(review_token)


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


def review_token(
    name: Annotated[
        str, typer.Argument(help="What the program is called, in decisions and in the audit log.")
    ],
    role: Annotated[list[str], typer.Option(help="reviewer, lead or auditor; may be given more than once.")],
) -> None:
    """Make a token with which a program uses the desk's API.

    The token goes to standard output, and is shown only now. The line for the
    desk's file of tokens (MIMAMORI_REVIEW_API_TOKENS) goes to standard error:

        mimamori review-token coop --role reviewer >token 2>>api-tokens
    """
    with extra_for("the review desk", "review"):
        from review.access.services import line_of, new_token
        from review.errors import DeskError
        from review.people import ROLES
    if unknown := sorted(set(role) - set(ROLES)):
        raise SettingsError(f"--role {unknown[0]}: give one of {', '.join(ROLES)}")
    token = new_token()
    try:
        line = line_of(name, frozenset(known for known in ROLES if known in role), token)
    except DeskError as error:
        raise SettingsError(str(error)) from None
    typer.echo(token)
    typer.echo(line, err=True)
