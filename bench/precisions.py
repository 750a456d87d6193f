"""Measures each precision that this CPU has against fp32, to show what `device: auto` should choose.

    python -m bench.precisions [BUNDLE]         the default is the shipped recipe's bundle, built once

Readers of one bundle run in turn. The ratio is to OpenVINO in fp32: the median of the rounds, lowest and
highest. `engine.devices.processor` holds what follows from it.
"""

import argparse
import os
from pathlib import Path
from statistics import median

from bench.quantised import interleaved
from bench.yardstick.bundles import prompted_bundle
from bench.yardstick.machine import describe
from engine.bundle import Bundle
from engine.device_names import Output
from engine.devices import openvino as openvino_device
from engine.devices.choice import choose
from engine.load import open_reader


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("bundle", type=Path, nargs="?", help="a full or an adapted bundle")
    asked = parser.parse_args().bundle
    home = Path(os.environ.get("MIMAMORI_HOME", "~/.cache/mimamori")).expanduser() / "bench"
    bundle = Bundle.load(asked) if asked else prompted_bundle(0, home)
    output: Output = "label_logits" if bundle.manifest.layer is None else "pooled"
    readers = {
        f"openvino {precision}": open_reader(bundle, output, device="openvino", precision=precision)
        for precision in openvino_device.precisions()
    }
    readers["cpu fp32"] = open_reader(bundle, output, device="cpu")
    rates = interleaved(readers)
    machine = describe()
    chosen = choose("auto", "auto")
    print(f"{machine['cpu']}, {machine['cores']} cores ({machine['cpu_class']}), {output}; auto: {chosen}")
    for name, of_rounds in rates.items():
        ratios = sorted(a / b for a, b in zip(of_rounds, rates["openvino fp32"], strict=True))
        spread = f"{median(ratios):.2f} ({ratios[0]:.2f}-{ratios[-1]:.2f})"
        print(f"{name:16} {median(of_rounds):8.1f} messages/s   {spread} of fp32")


if __name__ == "__main__":
    main()
