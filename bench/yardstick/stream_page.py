"""Shows a run of bench/stream.py: as tables on the terminal, as docs/benchmarks/stream.md, and as a plot."""

from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median

from rich.console import Console
from rich.markdown import Markdown

from bench.lanes import LANES
from bench.yardstick.stream_report import OURS, StreamReport


def terminal(report: StreamReport, console: Console) -> None:
    """Print the tables."""
    console.print(Markdown("\n".join(_tables(report, how=False))))


def markdown(report: StreamReport, command: str) -> str:
    """The page."""
    machine = report.machine
    intro = (
        f"Made by `{command}` on {machine['cpu']}, {machine['cores']} cores, which the lanes share with the "
        f"broker. {report.records:,} JSON messages per topic (our own texts), 4 partitions, one warm Apache "
        "Kafka, one lane at a time, rounds in turn; medians (lowest-highest). Repeated messages come from "
        "2,000 texts, so that the score cache hits; distinct ones all go to the canned engine, which costs "
        "next to nothing. A rate counts records whose offsets are committed; after each round a "
        "read-committed reader counted the outcomes: none was missing. All lanes decode with the same "
        "decoder and write the same label with the same headers; only ours looks up a cache, rules by a "
        "policy and keeps metrics."
    )
    lines = ["# The stream and its peers", "", intro, "", *_tables(report, how=True)]
    lines += ["", "![rates, latency and scaling](stream.png)", "", f"Versions: {_versions()}.", ""]
    return "\n".join(lines)


def _tables(report: StreamReport, *, how: bool) -> Iterator[str]:
    yield f"| lane | mix | records/s | CPU ms per 1,000 | twice |{' how |' if how else ''}"
    yield f"|---|---|---|---|---|{'---|' if how else ''}"
    for name, mix in report.rows:
        title = f"**{name}**" if name == OURS else name
        rates = report.rates(name, mix)
        span = f"{report.rate(name, mix):,.0f} ({min(rates):,.0f}-{max(rates):,.0f})"
        cpu = 1000 * report.cpu(name, mix)
        row = f"| {title} | {mix} | {span} | {cpu:.1f} | {report.twice(name, mix)} |"
        yield f"{row} {LANES[name].idea} |" if how else row
    yield from ("", "| ratio | measured | asked |", "|---|---|---|")
    for what, ratio, least in report.ratios():
        yield f"| {what} | {ratio:.2f} | {f'{least:g} or more' if least else '-'} |"
    if report.latencies:
        yield from ("", "End to end, from `produce` to a read-committed consumer that has the label:", "")
        yield from ("| lane | messages/s | p50, ms | p99, ms |", "|---|---|---|---|")
        for (name, kind), one in report.latencies.items():
            pace = f"{one.pace:,.0f}{' (half of its rate)' if kind == 'half' else ''}"
            yield f"| {name} | {pace} | {1000 * one.p50:.1f} | {1000 * one.p99:.1f} |"
    if report.scales:
        yield from ("", "Workers on a simulated device, a fixed time per message, nothing cached:", "")
        yield from (
            "| workers | partitions | records/s | of what the devices would do |",
            "|---|---|---|---|",
        )
        for scale in report.scales:
            share = scale.rate / scale.ideal
            yield f"| {scale.workers} | {scale.partitions} | {scale.rate:,.0f} | {share:.0%} |"
    if engine := report.engine:
        pairs = ", ".join(f"{a:.1f} / {b:.1f}" for a, b in zip(engine.stream, engine.offline, strict=True))
        yield f"\nThe real engine ({engine.runs}), {engine.messages} distinct messages, messages/s by round, "
        yield f"Kafka end to end / offline: {pairs}."
        yield (
            f"One message took {median(engine.stream_cpu):.1f} ms of CPU time in the worker and "
            f"{median(engine.offline_cpu):.1f} offline: {engine.cpu_ratio:.2f} of the offline rate, on cores "
            f"of its own. Here the broker and the observer used {median(engine.beside):.2f} of the "
            f"{report.machine['cores']} cores meanwhile."
        )
    for name, why in report.missing.items():
        yield f"\nNot measured: {name}: {why}."
    for (name, kind), why in report.latency_failed.items():
        yield f"\nNo latency: {name} at the {kind} pace: {why}."


def plot(report: StreamReport, path: Path) -> None:
    """Plot rates, latencies and scaling side by side. Raises ImportError: matplotlib is not installed."""
    import matplotlib as mpl  # noqa: PLC0415 - only the plot needs it

    mpl.use("Agg")
    from matplotlib import pyplot as plt  # noqa: PLC0415

    figure, (left, middle, right) = plt.subplots(1, 3, figsize=(16, 4.5))
    names = [name for name, mix in report.rows if mix == "repeated"]
    rates = [report.rate(name) for name in names]
    low = [report.rate(name) - min(report.rates(name, "repeated")) for name in names]
    high = [max(report.rates(name, "repeated")) - report.rate(name) for name in names]
    colours = ["C0" if name == OURS else "C7" for name in names]
    left.barh(names, rates, xerr=(low, high), color=colours)
    left.invert_yaxis()
    left.set(xlabel="records a second, from the cache", title="drain")
    for kind, marker in (("common", "o"), ("half", "s")):
        found = [(name, one) for (name, at), one in report.latencies.items() if at == kind]
        for quantile, filled in (("p50", True), ("p99", False)):
            middle.scatter(
                [1000 * getattr(one, quantile) for _, one in found],
                [name for name, _ in found],
                marker=marker,
                facecolors="C0" if filled else "none",
                edgecolors="C0",
                label=f"{quantile}, {'one pace for all' if kind == 'common' else 'half of its rate'}",
            )
    middle.invert_yaxis()
    middle.set(xlabel="milliseconds end to end", xscale="log", title="latency")
    middle.legend(fontsize=8)
    for partitions in sorted({one.partitions for one in report.scales}):
        found_scales = [one for one in report.scales if one.partitions == partitions]
        right.plot(
            [one.workers for one in found_scales],
            [one.rate for one in found_scales],
            marker="o",
            label=f"{partitions} partitions",
        )
    if report.scales:
        workers = sorted({one.workers for one in report.scales})
        right.plot(workers, [w * report.scales[0].ideal / report.scales[0].workers for w in workers], "k--")
    right.set(xlabel="workers", ylabel="records a second", title="simulated device (dashed: its own limit)")
    right.legend(fontsize=8)
    figure.suptitle(f"{report.machine['cpu']}, {report.machine['cores']} cores, broker included")
    figure.tight_layout()
    figure.savefig(path, dpi=120)
    plt.close(figure)


def _versions() -> str:
    found = []
    for name in ("confluent-kafka", "faust-streaming", "aiokafka", "quixstreams", "msgspec"):
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            continue
    return ", ".join(found)
