"""Measures what int8 gains and costs on OpenVINO against the same graph in bf16.

The results are the reasons for how `precision: int8` works.

    python -m bench.quantised [BUNDLE ...]      the default is the shipped recipe's bundle, built once

Weights are quantised to int8 with a scale for each output channel, either in the feed-forward blocks (as the
worker does) or in every weight matrix. The activations that they are multiplied with are quantised to int8
with a scale for each group of a token's features, or stay bf16 ("groups of 0"). Readers run in turn, and the
ratio is the median over the rounds. `off` is the largest difference from the original model over the bundle's
samples: of a label logit, or, in a cut bundle, of a pooled vector relative to its length. The gate is what
`engine.proof` tolerates.
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
from engine.device_names import Output
from engine.devices import openvino as openvino_device
from engine.devices.quantise import FEED_FORWARD, GROUP, quantise
from engine.load import open_reader
from engine.proof import TOLERANCES, compare
from engine.reading.reader import Reader

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
    """Measure every variant of one bundle."""
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
    """A reader of a variant; the worker's own is the first."""
    with (
        patch.object(openvino_device, "quantise", partial(quantise, where=where, group=group or GROUP)),
        patch.object(openvino_device, "GROUP", group),
    ):
        return open_reader(bundle, output, device="openvino", precision="int8")


def interleaved(readers: dict[str, Reader]) -> dict[str, list[float]]:
    """The messages a second by reader and round."""
    chance = np.random.default_rng(0)
    rows = [chance.integers(100, 40_000, LENGTH).tolist() for _ in range(ROWS)]
    rates: dict[str, list[float]] = {name: [] for name in readers}
    for turn in range(ROUNDS + 1):
        for name, reader in readers.items():
            began = time.perf_counter()
            reader.rows(rows)
            if turn:  # the first round is the warm-up
                rates[name].append(ROWS / (time.perf_counter() - began))
    return rates


if __name__ == "__main__":
    main()
