"""What int8 gains and costs on OpenVINO, beside the same graph in bf16: the choice behind `precision: int8`.

    python -m bench.quantised [BUNDLE ...]      default: the shipped recipe's bundle, built once

Weights become int8 with a scale for each output channel, in the feed-forward blocks (what the worker runs) or
in every weight matrix; what meets them becomes int8 with a scale for each group of a token's features, or
stays bf16 ("groups of 0"). Rates are in turn, the ratio is the median over the rounds. `off` is the largest
difference of a label logit (of a pooled vector, relative to its length, in a cut bundle) from the original
model's over the bundle's samples; the gate is what `engine.proof` tolerates.
"""

import argparse
import os
import statistics
import time
from functools import partial
from pathlib import Path
from unittest.mock import patch

import numpy as np

from bench.yardstick.bundles import prompted_bundle
from engine.bundle import Bundle
from engine.devices import openvino as openvino_device
from engine.devices.quantise import FEED_FORWARD, GROUP, quantise
from engine.load import open_reader
from engine.proof import TOLERANCES, compare
from engine.reading.reader import Reader
from engine.vocabulary import Output

VARIANTS = [(FEED_FORWARD, 64), (FEED_FORWARD, 32), (FEED_FORWARD, 0), ("", 32), ("", 64), ("", 128)]
ROUNDS, ROWS, LENGTH = 5, 40, 48


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("bundles", type=Path, nargs="*", help="full or adapted bundles")
    options = parser.parse_args()
    home = Path(os.environ.get("MIMAMORI_HOME", "~/.cache/mimamori")).expanduser() / "bench"
    for bundle in map(Bundle.load, options.bundles) if options.bundles else [prompted_bundle(0, home)]:
        measure(bundle)


def measure(bundle: Bundle) -> None:
    """Every variant of one bundle."""
    output: Output = "label_logits" if bundle.manifest.layer is None else "pooled"
    readers = {"bf16": open_reader(bundle, output, device="openvino", precision="bf16")}
    for where, group in VARIANTS:
        blocks = "feed-forward" if where else "every matrix"
        readers[f"int8 {blocks}, groups of {group}"] = opened(bundle, output, where, group)
    rates = interleaved(readers)
    gate = getattr(TOLERANCES["int8"], output)
    print(f"{bundle.path.name:40} messages/s  of bf16     off   (gate: {gate})")
    for name, reader in readers.items():
        ratio = statistics.median(a / b for a, b in zip(rates[name], rates["bf16"], strict=True))
        off = compare(reader, bundle.reference, output, bundle.manifest).original
        print(f"{name:40} {statistics.median(rates[name]):10.1f} {ratio:8.2f} {off:7.3f}", flush=True)


def opened(bundle: Bundle, output: Output, where: str, group: int) -> Reader:
    """A reader of a variant: the worker's own is the first."""
    with (
        patch.object(openvino_device, "quantise", partial(quantise, where=where, group=group or GROUP)),
        patch.object(openvino_device, "GROUP", group),
    ):
        return open_reader(bundle, output, device="openvino", precision="int8")


def interleaved(readers: dict[str, Reader]) -> dict[str, list[float]]:
    """Messages a second by reader and round."""
    chance = np.random.default_rng(0)
    rows = [chance.integers(100, 40_000, LENGTH).tolist() for _ in range(ROWS)]
    rates: dict[str, list[float]] = {name: [] for name in readers}
    for turn in range(ROUNDS + 1):
        for name, reader in readers.items():
            began = time.perf_counter()
            reader.rows(rows)
            if turn:  # the first one warms up
                rates[name].append(ROWS / (time.perf_counter() - began))
    return rates


if __name__ == "__main__":
    main()
