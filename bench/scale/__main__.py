"""Simulates the group at each rate, up to a million messages a second, and prints what happens.

    python -m bench.scale                      every case at every rate: minutes
    python -m bench.scale --rates 10000        one rate: seconds
    python -m bench.scale --docs FILE …        also write docs/benchmarks/scale.*: FILEs are what was measured

Everything is drawn from --seed: the same seed gives the same figures.
"""

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from bench.scale.limits import GPU, RATES
from bench.scale.page import markdown
from bench.scale.picture import plot
from bench.scale.scenarios import CASES, Told, run, told

PAGE = Path(__file__).resolve().parents[2] / "docs" / "benchmarks" / "scale.md"


def main(arguments: Sequence[str] | None = None) -> None:
    """Simulate, print, and write the page where asked to."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.scale",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--rates", type=int, nargs="+", default=list(RATES), help="messages a second")
    parser.add_argument("--cases", default="", help="only those with this in their names")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument(
        "--docs",
        type=Path,
        nargs="*",
        help="write docs/benchmarks/scale.*; with files of the other scripts, named as in it: groups.json …",
    )
    options = parser.parse_args(arguments)
    rows: list[Told] = []
    for rate in options.rates:
        for case in CASES:
            if options.cases not in case.name:
                continue
            began = time.perf_counter()
            outcome = run(case, rate, GPU, options.seed)
            rows.append(told(case, rate, GPU, outcome, time.perf_counter() - began))
            print(line(rows[-1]), flush=True)
            figures: dict[str, Any] = {"seed": options.seed, "simulated": msgspec.to_builtins(rows)}
            if options.json:
                options.json.write_text(json.dumps(figures, indent=1) + "\n")
    if options.docs is not None:
        write(options.docs, figures)


def write(files: Sequence[Path], figures: dict[str, Any]) -> None:
    """Put new figures beside those that are there, and make the page of all of them."""
    kept = PAGE.with_suffix(".json")
    known: dict[str, Any] = json.loads(kept.read_text()) if kept.exists() else {}
    known |= {file.stem: json.loads(file.read_text()) for file in files} | figures
    kept.write_text(json.dumps(known, indent=1) + "\n")
    PAGE.write_text(markdown(known))
    plot(known, PAGE.with_suffix(".png"))


def line(row: Told) -> str:
    """One row of the table."""
    return (
        f"{row.rate:9,.0f}/s {row.workers:4} workers, {row.case}: p50 {row.p50:.2f} s, p99 {row.p99:.2f} s, "
        f"most waiting {row.worst_lag:,}, calm after {row.calm_s} s, at most {row.most_workers} workers, "
        f"read twice {row.read_twice:,}, {row.unlabelled:,} left; {row.took_s:.0f} s to simulate"
    )


if __name__ == "__main__":
    main()
