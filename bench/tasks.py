"""Two tasks of one base model in one worker against a worker for each: memory, time to open, time to read.

    python -m bench.tasks STRESS RISK [--rounds 3]

Both bundles must be cut at one layer, so that they have one graph: `mimamori adapt … --depth N`. Each
measurement is a process of its own, which opens its bundles as a worker does and reads the same texts with
each of them, in turns. "private" is memory of that process alone, which a container must have; "highest" is
the most that it ever held, mapped files included. "two workers" are the sums of one process for each bundle.
Medians over the rounds, lowest and highest in brackets.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Final

from engine.bundle import Bundle
from engine.load import load_engines

TEXTS: Final = (Path(__file__).parent / "yardstick" / "small-talk.txt").read_text().splitlines()
_READS: Final = 3  # of all texts by each bundle; the first warms up, and is not timed
_ROWS: Final = {
    "private": "private, MB",
    "highest": "highest, MB",
    "opened": "seconds to open",
    "read": "ms a message",
}

Figures = dict[str, float]


def main() -> None:
    """Measure and print a table, or the figures of one process."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("bundles", type=Path, nargs="+")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--one-process", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one_process:
        print(json.dumps(measure(given.bundles, given.threads)))
        return
    together, apart = [], []
    for _ in range(given.rounds):
        together.append(child(given.bundles, given.threads))
        apart.append([child([bundle], given.threads) for bundle in given.bundles])
    print("| | one worker | two workers |\n|---|---|---|")
    for name, shown in _ROWS.items():
        # What each of two workers takes to read a message is no sum: they stand side by side.
        count = 1 if name != "read" else len(given.bundles)
        sums = [sum(each[name] for each in round_) / count for round_ in apart]
        print(f"| {shown} | {spread([each[name] for each in together])} | {spread(sums)} |", flush=True)


def child(bundles: Sequence[Path], threads: int) -> Figures:
    """The figures of a process that opens these bundles."""
    command = [sys.executable, "-m", "bench.tasks", "--one-process", "--threads", str(threads)]
    done = subprocess.run([*command, *map(str, bundles)], capture_output=True, text=True, check=True)
    figures: Figures = json.loads(done.stdout.splitlines()[-1])
    return figures


def measure(folders: Sequence[Path], threads: int) -> Figures:
    """Open the bundles, read with each in turns, and say what this process holds then."""
    bundles = [Bundle.load(folder) for folder in folders]
    began = time.perf_counter()
    engines = load_engines(bundles, threads=threads, highlights_from=[None] * len(bundles))
    opened = time.perf_counter() - began
    took = []
    for number in range(_READS):
        for engine in engines:
            began = time.perf_counter()
            engine.read(TEXTS)
            if number:
                took.append((time.perf_counter() - began) / len(TEXTS) * 1e3)
    return {**held(), "opened": opened, "read": median(took)}


def held() -> Figures:
    """The memory of this process, in MB."""
    found: dict[str, float] = {}
    for file in ("smaps_rollup", "status"):
        for line in Path("/proc/self", file).read_text().splitlines():
            name, *values = line.split()
            if name in {"Anonymous:", "VmHWM:"}:
                found[name] = int(values[0]) >> 10
    return {"private": found["Anonymous:"], "highest": found["VmHWM:"]}


def spread(values: Sequence[float]) -> str:
    """The median, and the lowest and highest."""
    middle, low, high = (f"{each:,.4g}" for each in (median(values), min(values), max(values)))
    return f"{middle} ({low}-{high})"


if __name__ == "__main__":
    main()
