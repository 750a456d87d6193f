"""Options of commands that measure baselines beside a bundle, and the ways that they ask for.

A command takes the options as parameters and gives them to `ways_from`. The ways go to whatever measures;
`announce` tells what an endpoint will be sent and what that may cost, before any of it is sent, and `settle`
what it did cost.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from engine.device_names import DeviceChoice, PrecisionChoice
from engine.errors import SettingsError, extra_for
from engine.task import Task
from mimamori.cli.reading import notice

if TYPE_CHECKING:  # Importing these at run time would need the extra, and takes a second.
    from export.baselines.known import Baseline
    from export.examples import LabelledExample

_BASELINES: Final = "Baselines, on the same draws"
_OUTSIDE: Final = "A large model behind an endpoint: messages leave this machine"

BaselineOption = Annotated[
    list[str] | None,
    typer.Option(
        "--baseline",
        help="tf-idf, embedding:FOLDER, bundle:FOLDER, endpoint:MODEL or endpoint-few-shot:MODEL; may be "
        "repeated.",
        rich_help_panel=_BASELINES,
    ),
]
EndpointOption = Annotated[
    str | None,
    typer.Option(
        help="Base URL of an OpenAI-compatible endpoint, such as https://api.openai.com/v1.",
        rich_help_panel=_OUTSIDE,
    ),
]
ConsentOption = Annotated[
    str | None,
    typer.Option(
        "--send-texts-to",
        help="Agree that every message is sent to this host, the endpoint's. Nothing is sent without.",
        rich_help_panel=_OUTSIDE,
    ),
]
KeyVariableOption = Annotated[
    str | None,
    typer.Option(
        "--api-key-env", help="The environment variable that holds the key.", rich_help_panel=_OUTSIDE
    ),
]
KeyFileOption = Annotated[
    Path | None, typer.Option("--api-key-file", help="The file that holds the key.", rich_help_panel=_OUTSIDE)
]
PriceInOption = Annotated[
    float | None,
    typer.Option("--price-in", help="Price of a million tokens that are sent.", rich_help_panel=_OUTSIDE),
]
PriceOutOption = Annotated[
    float | None,
    typer.Option("--price-out", help="Price of a million tokens that come back.", rich_help_panel=_OUTSIDE),
]
MaxCostOption = Annotated[
    float | None,
    typer.Option(help="Send nothing once it may cost more than this in all.", rich_help_panel=_OUTSIDE),
]
RequestsOption = Annotated[
    float | None,
    typer.Option("--requests-per-minute", help="The endpoint's limit.", rich_help_panel=_OUTSIDE),
]
TokensOption = Annotated[
    float | None, typer.Option("--tokens-per-minute", help="The endpoint's limit.", rich_help_panel=_OUTSIDE)
]
AtOnceOption = Annotated[
    int, typer.Option("--at-once", min=1, help="Requests in flight at most.", rich_help_panel=_OUTSIDE)
]
TimeoutOption = Annotated[
    float,
    typer.Option("--reply-timeout", min=0.1, help="Seconds to wait for one reply.", rich_help_panel=_OUTSIDE),
]
AnswerTokensOption = Annotated[
    int,
    typer.Option(
        min=1,
        help="Longest answer. A reasoning model needs some 2,000 for its thoughts.",
        rich_help_panel=_OUTSIDE,
    ),
]
StructuredOption = Annotated[
    bool,
    typer.Option(
        "--structured",
        help="Have the server allow nothing but the task's two answers, where it can (JSON schema).",
        rich_help_panel=_OUTSIDE,
    ),
]


def ways_from(
    names: Sequence[str] | None,
    task: Task,
    train: Path | None,
    *,
    device: DeviceChoice = "auto",
    precision: PrecisionChoice = "auto",
    threads: int = 0,
    seed: int = 0,
    endpoint: str | None = None,
    send_texts_to: str | None = None,
    api_key_env: str | None = None,
    api_key_file: Path | None = None,
    price_in: float | None = None,
    price_out: float | None = None,
    max_cost: float | None = None,
    requests_per_minute: float | None = None,
    tokens_per_minute: float | None = None,
    at_once: int = 4,
    reply_timeout: float = 60.0,
    answer_tokens: int = 16,
    structured: bool = False,
) -> "list[Baseline]":
    """The ways that the options ask for, to be measured on draws of `train`.

    Raises SettingsError: there is no file to draw from. FatalError: as `baselines`, or the extra is missing.
    """
    if not names:
        return []
    if train is None:
        raise SettingsError("--baseline is measured on draws of --train: give that too")
    with extra_for("measuring baselines", "baselines,adapt,cpu"):
        from export.baselines.endpoint.cost import Prices
        from export.baselines.endpoint.endpoint import Asking
        from export.baselines.endpoint.line import Patience
        from export.baselines.endpoint.pace import Limits
        from export.baselines.known import Machine, Outside, baselines
    asking = Asking(
        answer_tokens=answer_tokens,
        structured=structured,
        limits=Limits(requests_per_minute, tokens_per_minute, at_once),
        patience=Patience(timeout_s=reply_timeout),
        prices=Prices(price_in, price_out, max_cost),
    )
    outside = Outside(endpoint, send_texts_to, api_key_env, api_key_file, asking)
    machine = Machine(device, precision, threads)
    return baselines(names, task, machine=machine, outside=outside, tell=notice, seed=seed)


def announce(
    ways: "Sequence[Baseline]", draws: "Sequence[Sequence[LabelledExample]]", texts: Sequence[str]
) -> None:
    """Tell what endpoints will be sent for all of `draws`, and what that may cost, before any of it is.

    Raises EndpointError: it may cost more than --max-cost.
    """
    if not ways:  # the extra may not be installed
        return
    from export.baselines.endpoint.way import EndpointWay

    for way in ways:
        if isinstance(way, EndpointWay):
            way.announce([each for each in draws if each] if way.fewest else [[]], texts)


def settle(ways: "Sequence[Baseline]") -> None:
    """Tell what endpoints counted and what was paid."""
    if not ways:
        return
    from export.baselines.endpoint.way import EndpointWay

    endpoints = dict.fromkeys(way.endpoint for way in ways if isinstance(way, EndpointWay))
    for endpoint in endpoints:
        notice(endpoint.bill.settle(endpoint.name))
