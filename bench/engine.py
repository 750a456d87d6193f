"""Measures this engine and its peers in one run, with the same weights, messages and prompts.

    make bench-engine                       install the peers beside the project, measure all, write the docs
    python -m bench.engine                  measure what is installed; the rest is reported as missing
    python -m bench.engine --quick --engines mimamori,openvino-genai

Every engine runs in a process of its own, and is frozen while another works. Rates are in messages a second,
as the median of interleaved rounds. `bound` is the machine's peak of matrix arithmetic, measured in each
round like an engine, divided by what one message needs. Figures depend on the machine: compare within one
run. A peer that is not installed or fails is listed with the reason.
"""

import argparse
import json
import os
import shlex
import sys
from pathlib import Path

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from bench.peers import ENTRIES
from bench.yardstick.bundles import prompted_bundle
from bench.yardstick.labelled import read_labelled
from bench.yardstick.machine import cores, describe
from bench.yardstick.pages import markdown, plot
from bench.yardstick.quality import Quality, default_files
from bench.yardstick.report import Report, terminal
from bench.yardstick.rounds import PEAK, Plan, Say, measure, prepare
from bench.yardstick.workload import Workload, pooled_spec, read_texts
from engine.bundle import Bundle
from export.adapting.shipped import shipped_bundle
from export.building.source import find_model
from export.examples import shipped_examples

POOLED = "mimamori:pooled"
ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared" / "data"  # the project's virtual environment, where there is one


def main() -> int:
    """Measure, print, and write the files that were asked for."""
    options = arguments()
    console = Console(stderr=True)
    columns = SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn()
    # Refreshed twice a second only, so that the bar's thread does not distort the measurement.
    with Progress(*columns, console=console, transient=True, refresh_per_second=2) as bar:
        line = bar.add_task("look around")
        report = measured(options, lambda text: bar.update(line, description=text))
    terminal(report, Console())
    if options.docs:
        page = ROOT / "docs" / "benchmarks" / "engine.md"
        page.write_text(
            markdown(report, shlex.join(["python", "-m", "bench.engine", *_public(sys.argv[1:])]))
        )
        try:
            plot(report, page.with_suffix(".png"))
        except ImportError:
            console.print("no plot: pip install --no-deps -r bench/peers.txt")
    if options.json:
        options.json.write_text(json.dumps(report.as_json(), indent=2) + "\n")
    return int(not report.rates.get("mimamori"))


def measured(options: argparse.Namespace, say: Say) -> Report:
    """Measure everything that the options ask for."""
    work = options.work
    work.mkdir(parents=True, exist_ok=True)
    say("build the bundles")
    full = prompted_bundle(0, work)
    adapted = Bundle.load(shipped_bundle("stress", work.parent / "bundles", lambda *_: None))
    gguf = find_model("smollm2").weights[0]
    workload = Workload(full, read_texts(options.data), options.messages, options.rounds)
    plan = Plan(options.rounds, options.seconds, work, cores())
    report = Report(describe(), full.path, adapted.path, workload, options.data)
    names = []
    first = workload.spec(full, gguf, work, plan.threads)
    for name in options.engines:
        entry = ENTRIES[name]
        if entry.missing:
            report.missing[name] = f"{', '.join(entry.missing)} not installed: {entry.install}"
            continue
        say(f"convert the model for {name}")
        why = prepare(name, first, plan)
        if why:
            report.missing[name] = why
        else:
            names.append(name)
    for shots in options.shots:
        say(f"export the bundle with {shots} shots")
        report.bundles[shots] = prompted_bundle(shots, work)
        spec = workload.spec(report.bundles[shots], gguf, work, plan.threads)
        specs = dict.fromkeys(names, spec)
        if shots == min(options.shots) and "mimamori" in specs:
            specs[POOLED] = pooled_spec(spec, adapted, workload.messages)

        def of_these(text: str, shots: int = shots) -> None:
            say(f"{shots} shots: {text}")

        results = measure(specs, plan, of_these)
        report.peaks.append(results.pop(PEAK))
        if POOLED in results:
            report.pooled = results.pop(POOLED)
        report.add(shots, len(spec.prefix), results)
    if not options.no_quality:
        data = read_labelled(default_files(options.quality, SHARED, shipped_examples(full.manifest.task)))
        quality = Quality(workload, first, adapted, report.bundles, plan, data)
        report.quality = quality.table(names, options.splits, options.shots, say)
    return report


def _public(arguments: list[str]) -> list[str]:
    """The command line, without this machine's paths."""
    return [str(Path(each).name) if "/" in each else each for each in arguments]


def arguments() -> argparse.Namespace:
    """The command line."""
    home = Path(os.environ.get("MIMAMORI_HOME", "~/.cache/mimamori")).expanduser()
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="engines:\n" + "\n".join(f"  {name:18} {entry.idea}" for name, entry in ENTRIES.items()),
    )
    parser.add_argument("--engines", type=_engines, default=list(ENTRIES), help="a,b (default: all)")
    parser.add_argument("--shots", type=_numbers, default=[0, 8, 32], help="solved examples in the prompt")
    parser.add_argument("--messages", type=int, default=200, help="how many (default: 200)")
    parser.add_argument("--data", type=Path, help="JSONL with `text` (default: our own examples)")
    parser.add_argument("--rounds", type=int, default=5, help="of each engine (default: 5)")
    parser.add_argument("--seconds", type=float, default=15.0, help="most for one engine's round: a slow")
    parser.add_argument("--quick", action="store_true", help="3 rounds, 64 messages, 4 s: a first look")
    parser.add_argument("--quality", type=Path, nargs="+", help="labelled JSONL for cost against quality")
    parser.add_argument("--no-quality", action="store_true", help="rates only")
    parser.add_argument("--splits", type=int, default=12, help="random draws of 25 labels (default: 12)")
    parser.add_argument("--docs", action="store_true", help="write docs/benchmarks/engine.md and .png")
    parser.add_argument("--work", type=Path, default=home / "bench", help="keeps converted models")
    parser.add_argument("--json", type=Path, help="write the figures here too")
    options = parser.parse_args()
    if options.quick:
        options.rounds, options.messages, options.seconds = 3, 64, 4.0
    return options


def _engines(text: str) -> list[str]:
    names = [name for name in text.split(",") if name]
    if unknown := set(names) - set(ENTRIES):
        raise argparse.ArgumentTypeError(f"no {', '.join(sorted(unknown))}; there is {', '.join(ENTRIES)}")
    return names


def _numbers(text: str) -> list[int]:
    return sorted({int(number) for number in text.split(",")})


if __name__ == "__main__":
    sys.exit(main())
