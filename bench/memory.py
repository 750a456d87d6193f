"""Where the engine's memory is: this process's, after each stage of opening and running a bundle.

    python -m bench.memory BUNDLE [--output label_logits]

"private" is memory of this process alone, which a container must have. "file" is mapped files, such as the
weights: pages that the kernel can drop and read again. "highest" is the most that it ever held of both.
"""

import argparse
import time
from pathlib import Path
from typing import get_args

import numpy as np

from engine.bundle import Bundle
from engine.device_names import Output
from engine.load import open_reader

_RUNS = ((16, 60), (32, 60), (8, 256))


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--output", choices=get_args(Output), default="label_logits")
    parser.add_argument("--threads", type=int, default=0)
    options = parser.parse_args()
    print("| after | seconds | private, MB | file, MB | highest, MB |\n|---|---|---|---|---|", flush=True)
    stage = Stages()
    stage("imports")
    bundle = Bundle.load(options.bundle)
    stage("the bundle is verified")
    reader = open_reader(bundle, options.output, threads=options.threads)
    stage(f"the graph is open on {reader.device.name} {reader.device.precision}")
    for number, (rows, length) in enumerate(_RUNS):
        reader.device.run(np.ones((rows, length), np.int64), np.full(rows, length, np.int64))
        stage(f"a run of {rows} rows of {length}")
        if not number:
            reader.device.settle()
            stage("it has settled")


class Stages:
    """Prints a line of the table for each stage that has ended."""

    def __init__(self) -> None:
        self._began = time.perf_counter()

    def __call__(self, stage: str) -> None:
        """Print what this process holds now."""
        held = {"Rss:": 0, "Anonymous:": 0, "VmHWM:": 0}
        for file in ("smaps_rollup", "status"):
            for line in Path("/proc/self", file).read_text().splitlines():
                name, *values = line.split()
                if name in held:
                    held[name] = int(values[0]) >> 10
        rss, private, highest = held.values()
        seconds = time.perf_counter() - self._began
        print(f"| {stage} | {seconds:.1f} | {private} | {rss - private} | {highest} |", flush=True)


if __name__ == "__main__":
    main()
