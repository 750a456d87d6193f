"""What the priors on layer and calibration are worth where labels are few.

    python -m bench.priors LABELLED … [--labels 10 25 50] [--shares 0.5 0.15] [--splits 20] [--seeds 1 2 3]

Each split draws labelled messages, a share of them at risk (two at least), fits on them alone, and tests on
all others, weighed as if the same share of them were at risk. The ways are those of `mimamori adapt`, and
with one of its beliefs left out:

    adapt       as `adapt` does it
    middle      always the middle layer
    best        the layer with the lowest loss in cross-validation, whatever its neighbours say
    plain       Platt's calibration alone, without belief in the head's own zero

F1 is at even odds. "missed" is the share of messages at risk below the threshold that adapt sets out of fold
for a rate of 0.1, where there are labels enough for one. "refused" is the share of draws that adapt refuses,
as its heads cannot rank them out of fold; they count as of equal risk throughout.
"""

import argparse
import json
from collections import defaultdict
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
from sklearn.metrics import f1_score, log_loss, roc_auc_score
from threadpoolctl import threadpool_limits

from bench.yardstick.bundles import full_bundle
from bench.yardstick.labelled import Ints, read_labelled
from engine.load import open_reader
from engine.odds import sigmoid
from export.adapting.heads import EVEN, MIDDLE, Chosen, Vectors, choose, fit_platt, from_labels, out_of_fold
from export.adapting.thresholds import allowed, conformal_bounds
from export.adapting.windowing import UNCUT, read_windows
from export.calibrating.stating import calibration_error, reliability, weights

WAYS: Final = ("adapt", "middle", "best", "plain")
FIGURES: Final = ("F1", "AUC", "log loss", "ECE", "missed", "refused")
RATE: Final = 0.1
_FEWEST: Final = 2  # of a class

Figures = dict[str, float]


def main() -> None:
    """Measure, print, and write what was measured."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("labelled", type=Path, nargs="+", help="JSONL with text and at_risk or stressor")
    parser.add_argument("--bundle", type=Path, help="a full bundle; default: the task stress is built")
    parser.add_argument("--labels", type=int, nargs="*", default=[10, 25, 50])
    parser.add_argument("--shares", type=float, nargs="*", default=[0.5, 0.15])
    parser.add_argument("--splits", type=int, default=20, help="of each seed")
    parser.add_argument("--seeds", type=int, nargs="*", default=[1, 2, 3])
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    full = full_bundle(options.bundle)
    data = read_labelled(options.labelled)
    reader = open_reader(full, "pooled", threads=options.threads)
    read = read_windows(reader, data.texts, UNCUT)
    del reader
    vectors = Vectors(read.windows.astype(np.float32), read.starts)
    if len(vectors.windows) != len(data.texts):
        raise SystemExit("these messages are too long: each must fit one window")
    print(f"{len(data.texts)} labelled messages, {len(options.seeds)} x {options.splits} splits", flush=True)
    found: dict[str, dict[str, list[Figures]]] = {}
    for share in options.shares:
        for count in options.labels:
            at = found.setdefault(f"{count} labels, {share:g} at risk", defaultdict(list))
            for seed in options.seeds:
                chance = np.random.default_rng([seed, count])
                for _ in range(options.splits):
                    with threadpool_limits(1, "blas"):
                        for way, figures in _split(vectors, data.labels, count, share, chance).items():
                            at[way].append(figures)
            _show(f"{count} labels, {share:g} at risk", at)
    if options.json:
        options.json.write_text(json.dumps(found, indent=1) + "\n")


def _split(
    vectors: Vectors, labels: Ints, count: int, share: float, chance: np.random.Generator
) -> dict[str, Figures]:
    positives = max(_FEWEST, round(count * share))
    drawn = [
        chance.choice(np.flatnonzero(labels == label), size, replace=False)
        for label, size in ((1, positives), (0, count - positives))
    ]
    train = chance.permutation(np.concatenate(drawn))
    test = np.setdiff1d(np.arange(len(labels)), train)
    examples = Vectors(vectors.windows[train], np.arange(count))
    known = labels[train]
    chosen = choose(examples, known, lambda *_: None)
    layers = vectors.windows.shape[1]
    taken = {
        "adapt": (chosen.layer, EVEN),
        "middle": (round(MIDDLE * layers), EVEN),
        "best": (int(np.argmin(chosen.losses)) + 1, EVEN),
        "plain": (chosen.layer, 0.0),
    }
    measured = partial(_measure, vectors, labels, train, test, share, chosen)
    return {way: measured(*taken[way]) for way in WAYS}


def _measure(
    vectors: Vectors,
    labels: Ints,
    train: Ints,
    test: Ints,
    share: float,
    chosen: Chosen,
    layer: int,
    even: float,
) -> Figures:
    examples, known, truth = (
        Vectors(vectors.windows[train], np.arange(len(train))),
        labels[train],
        labels[test],
    )
    learn = from_labels(known)
    decisions = chosen.decisions if layer == chosen.layer else out_of_fold(examples, layer, known, learn)
    head = learn(examples.layer(layer), np.arange(len(train)))
    platt = fit_platt(decisions, known, even=even)
    own = sigmoid(platt.slope * decisions + platt.shift)
    risks = sigmoid(platt.slope * head(vectors.layer(layer)[test]) + platt.shift)
    weigh = weights(truth, share)
    bound = conformal_bounds(own, known, RATE).lower
    return {
        "F1": float(f1_score(truth, risks >= 0.5, sample_weight=weigh)),
        "AUC": float(roc_auc_score(truth, risks)),
        "log loss": float(log_loss(truth, risks, sample_weight=weigh)),
        "ECE": calibration_error(reliability(risks, truth, share)),
        "missed": float((risks[truth == 1] < bound).mean())
        if allowed(int(known.sum()), RATE) >= 0
        else float("nan"),
        "refused": float(platt.slope == 0),
    }


def _show(what: str, found: dict[str, list[Figures]]) -> None:
    print(f"\n{what}\n| way | {' | '.join(FIGURES)} |\n|---{'|---' * len(FIGURES)}|")
    for way in WAYS:
        cells = []
        for name in FIGURES:
            each = np.array([figures[name] for figures in found[way]])
            over = each - np.array([figures[name] for figures in found["adapt"]])
            error = f" ({over.mean():+.3f} ± {over.std() / np.sqrt(len(over)):.3f})" if way != "adapt" else ""
            cells.append("-" if np.isnan(each).any() else f"{each.mean():.3f}{error}")
        print(f"| {way} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
