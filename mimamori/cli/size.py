"""`mimamori size`: says how many workers and partitions a rate needs, and what a million messages cost."""

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

OTHER_RATES = (1_000, 10_000, 100_000, 1_000_000)  # messages a second


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(rich_help_panel="Screen")(size)


def size(
    rate: Annotated[str, typer.Option(help="Rate of messages at the peak: 50000, 50k/s, 3M/min, 2.5G/day.")],
    tokens: Annotated[float, typer.Option(help="Tokens of a message on average; English has 4 per 3 words.")],
    cached: Annotated[
        float, typer.Option(help="Share of messages whose text was read before, 0 to 1.")
    ] = 0.0,
    device_rate: Annotated[
        float | None,
        typer.Option(min=1, help="Tokens that your device reads a second; default: from the constants."),
    ] = None,
    headroom: Annotated[
        float, typer.Option(help="Share of the workers' capacity kept free at the peak.")
    ] = 0.3,
    wait: Annotated[float, typer.Option(help="Seconds a message may wait for its label.")] = 5.0,
    outage: Annotated[float, typer.Option(help="Length in seconds of an outage to catch up from.")] = 300.0,
    partitions_per_worker: Annotated[
        int, typer.Option(help="Leave room for more workers: 2 allows twice as many.")
    ] = 2,
    price_per_hour: Annotated[
        float | None, typer.Option(min=0, help="Price of one worker per hour, in any currency.")
    ] = None,
    constants: Annotated[
        Path | None,
        typer.Option(help="File of constants measured on your machine (python -m bench.stream --docs)."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Say how many workers and partitions a rate needs, how long a backlog lasts, and what it costs.

    A worker is as fast as the slower of two parts that run at the same time: the device, which reads only
    messages that are not cached, and the stream around it. Both rates were measured on a small machine
    without a GPU; give --device-rate for yours. There are enough workers to keep the headroom free at the
    peak. The headroom is also the capacity that works off a backlog. Brokers are not sized here.
    docs/explanation/sizing.md has the formulas.
    """
    import msgspec

    from mimamori.sizing import CONSTANTS, Demand, load_constants, parse_rate, plan

    known = load_constants(constants or CONSTANTS)
    if device_rate is not None:
        source = "--device-rate"
        known = msgspec.structs.replace(
            known, device=msgspec.structs.replace(known.device, tokens_per_s=device_rate, source=source)
        )
    demand = Demand(parse_rate(rate), tokens, cached, headroom, wait, outage, partitions_per_worker)
    found = plan(demand, known)
    cost = None if price_per_hour is None else found.cost_per_million(demand, price_per_hour)
    if as_json:
        fields = msgspec.to_builtins(found) | {
            "cost_per_million": cost,
            "demand": msgspec.to_builtins(demand),
        }
        typer.echo(json.dumps(fields, indent=2))
        return
    table = Table(title=f"{demand.rate:,.0f} messages a second of {tokens:g} tokens", show_header=False)
    for line in (
        (
            "workers",
            f"{found.workers:,}",
            f"each {found.worker_rate:,.0f} messages/s; its {found.limit} is the limit",
        ),
        ("partitions", f"{found.partitions:,}", f"{partitions_per_worker} for each worker"),
        ("in use at the peak", f"{found.utilisation:.0%}", f"of {found.capacity:,.0f} messages/s"),
        ("lag budget", f"{found.lag_budget:,}", f"records behind, before a message waits {wait:g} s"),
        ("", f"{found.lag_budget // found.workers:,}", "of them for each worker: KEDA's lag threshold"),
        ("catch up", f"{found.catch_up_s:,.0f} s", f"after {outage:g} s of standstill at the peak"),
        *(
            [("a million messages", f"{cost:,.2f}", f"at {price_per_hour:g} an hour for a worker")]
            if cost is not None
            else []
        ),
    ):
        table.add_row(*line)
    console = Console(highlight=False)
    console.print(table)
    others = Table(title="the same messages at other rates", title_justify="left")
    for column in (
        "messages/s",
        "workers",
        "partitions",
        *(["a million"] if price_per_hour is not None else []),
    ):
        others.add_column(column, justify="right")
    for other in OTHER_RATES:
        there = msgspec.structs.replace(demand, rate=float(other))
        needs = plan(there, known)
        price = [] if price_per_hour is None else [f"{needs.cost_per_million(there, price_per_hour):,.2f}"]
        others.add_row(f"{other:,}", f"{needs.workers:,}", f"{needs.partitions:,}", *price)
    console.print(others)
    console.print(f"Stream: {known.stream.source}\nDevice: {known.device.source}", soft_wrap=True)
