"""Writes a run as a page: docs/benchmarks/engine.md and engine.png."""

from pathlib import Path

from bench.peers import ENTRIES
from bench.yardstick.report import OURS, Report, cell


def markdown(report: Report, command: str) -> str:
    """The page."""
    figures = report.as_json()
    shots = list(report.prefixes)
    machine = report.machine
    data = figures["data"]
    lines = [
        "# The engine and its peers",
        "",
        (
            f"Made by `{command}` on {machine['cpu']}, {machine['cores']} cores, {machine['cpu_class']}, "
            f"revision {machine['revision']}. "
            f"{figures['messages']} messages of 40-60 tokens with the suffix ({data}), "
            "SmolLM2-135M-Instruct from one GGUF. Median of the rounds in messages a second "
            "(lowest-highest; n: messages in a round, fewer for slow engines). Rounds run in turn, one "
            "engine at a time, each on new messages."
        ),
        "",
        "| engine | " + " | ".join(f"{n} shots ({report.prefixes[n]} tokens)" for n in shots) + " | how |",
        "|---|" + "---|" * (len(shots) + 1),
    ]
    for name, by_shots in report.rates.items():
        cells = " | ".join(cell(by_shots.get(n)) for n in shots)
        runs = next((m.runs for m in by_shots.values() if m.runs), "")
        title = f"**{name}**" if name == OURS else name
        lines.append(f"| {title} | {cells} | {ENTRIES[name].idea}; {runs} |")
    bounds = " | ".join(f"{report.bound(n):.1f}" for n in shots)
    shares = " | ".join(f"{figures['bound_share'].get(str(n), 0):.0%}" for n in shots)
    method, gflops = report.gemm
    lines += [
        f"| bound | {bounds} | {gflops:.0f} GFLOP/s ({method}) over one message's GFLOP |",
        f"| {OURS} / bound | {shares} | |",
        "",
        "What one message needs: "
        + ", ".join(f"{report.gflop(n):.1f} GFLOP at {n} shots" for n in shots)
        + " (`bench/yardstick/flops.py` has the formula). That counts every token of a message through every "
        "layer; ours runs the last block for the last token alone, and so needs about 3 % less.",
    ]
    pooled, memory = figures["pooled"], figures["memory"]
    if "rate" in pooled:
        own = report.workload.lengths
        lines.append(
            f"\nThe pooled reading (layer {pooled['layer']}, the messages' own {min(own)}-{max(own)} tokens "
            f"alone): {cell(report.pooled)} messages/s, {pooled['bound_share']:.0%} of its own bound, "
            f"{pooled['times_prompted']} times the prompted reading."
        )
    if memory:
        lines.append(
            f"\nOur process holds {memory['beyond_weights_mb']} MB beyond its weights after the run, and "
            f"gives its first score {memory['bundle_to_first_score_s']} s after its start."
        )
    lines += [f"\nNot measured: {name}: {why}" for name, why in report.missing.items()]
    if report.quality:
        lines += [
            "",
            "## Cost against quality",
            "",
            "| reading | messages/s | F1 at 25 labels | splits | |",
            "|---|---|---|---|---|",
        ]
        lines += [
            f"| {name} | {row.get('rate', '-')} | {row.get('f1_25', '-')} ± {row.get('f1_sd', '-')} "
            f"| {row.get('splits', '-')} | {row['note']} |"
            for name, row in report.quality.items()
        ]
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    lines += ["", "![rates and bound](engine.png)", "", f"Versions: {versions}.", ""]
    return "\n".join(lines)


def plot(report: Report, path: Path) -> None:
    """Plot rates against the prefix's length, with the bound, and beside it quality against cost.

    Raises ImportError: matplotlib is not installed.
    """
    import matplotlib as mpl  # noqa: PLC0415 - only the plot needs it

    mpl.use("Agg")
    from matplotlib import pyplot as plt  # noqa: PLC0415

    figure, axes = plt.subplots(1, 2 if report.quality else 1, figsize=(12 if report.quality else 7, 4.5))
    left = axes[0] if report.quality else axes
    for name, by_shots in report.rates.items():
        points = [
            (report.prefixes[n], rate, m.rates)
            for n, m in by_shots.items()
            if (rate := m.rate) and not m.failed
        ]
        if points:
            left.errorbar(
                [tokens for tokens, _, _ in points],
                [rate for _, rate, _ in points],
                (
                    [rate - min(rates) for _, rate, rates in points],
                    [max(rates) - rate for _, rate, rates in points],
                ),
                marker="o",
                label=name,
                lw=3 if name == OURS else 1,
            )
    tokens = list(report.prefixes.values())
    left.plot(tokens, [report.bound(n) for n in report.prefixes], "k--", label="bound of this machine")
    left.set(xlabel="tokens of the shared prefix", ylabel="messages a second", yscale="log")
    left.legend(fontsize=8)
    if report.quality:
        for name, row in report.quality.items():
            if "f1_25" in row:
                axes[1].scatter(row["rate"], row["f1_25"])
                axes[1].annotate(name, (row["rate"], row["f1_25"]), fontsize=8)
        axes[1].set(xlabel="messages a second", ylabel="F1 at 25 labels", xscale="log")
    figure.suptitle(f"{report.machine['cpu']}, {report.machine['cores']} cores")
    figure.tight_layout()
    figure.savefig(path, dpi=120)
    plt.close(figure)
