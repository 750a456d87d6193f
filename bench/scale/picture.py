"""Draws docs/benchmarks/scale.png from the figures that were measured."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np

from bench.scale.limits import number, parts

# What a rate cannot have more of without another design, in the picture.
PEOPLE: Final = 100  # at work at once
NOT_MORE: Final = {
    "people": f"{PEOPLE} people",
    "review desks": "one review desk",
    "the partition of in-hand": "the partition of in-hand",
    "members of one group": "members of one group, as many as were measured",
}


def plot(known: Mapping[str, Any], file: Path) -> None:
    """The load of what there cannot simply be more of, as a share of its limit, over the rate."""
    import matplotlib as mpl  # noqa: PLC0415 - an extra

    mpl.use("Agg")
    import matplotlib.pyplot as plt  # noqa: PLC0415 - same

    rates = np.logspace(2, 6, 200)
    figure, axes = plt.subplots(figsize=(8, 4.5))
    shown = [part for part in parts(known) if part.name in NOT_MORE]
    for part, style in zip(shown, ("-", "--", "-.", ":"), strict=True):  # not by colour alone
        of = PEOPLE if part.name == "people" else 1
        name = f"{NOT_MORE[part.name]} ({number(part.one * of)} {part.unit})"
        axes.loglog(rates, [part.needed(rate) / of for rate in rates], style, label=name)
    axes.axhline(1, color="black", linewidth=1)
    axes.set_xlabel("messages a second")
    axes.set_ylabel("load, as a share of the limit")
    axes.set_ylim(1e-3, 1e6)  # room for the legend above the lines
    axes.legend()
    axes.grid(visible=True, alpha=0.3)
    figure.tight_layout()
    figure.savefig(file, dpi=110)
