"""Whether suggested messages are worth more labels than messages drawn at random.

    python -m bench.suggestions LABELLED … [--start 10] [--count 25] [--shares 0.05 0.15 0.3 0.5]

LABELLED is JSONL with `text` and `at_risk` or `stressor`; a file with neither holds harmless messages. Each
split keeps a test apart, half of it at risk, starts with so many labelled messages, half of them at risk,
and draws traffic of which the given share is at risk. Then more of the traffic is labelled: `--count` as
`mimamori suggest` chooses, as many by other rules, as many at random, and twice as many at random. The head
is fitted as `mimamori adapt` fits it at the middle layer; F1 is at even odds after its calibration.

    suggested       what the command does (export/adapting/suggesting.py)
    k-means         the same without the head: what `suggest` does before there are labels
    uncertain       those nearest to even odds
    riskiest        those likeliest to be at risk

Means over the splits. "against" is the mean difference to twice as many at random, with its standard error.
"""

import argparse
import json
from collections import defaultdict
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from sklearn.metrics import f1_score, roc_auc_score
from threadpoolctl import threadpool_limits

from bench.yardstick.bundles import full_bundle
from engine.load import open_reader
from export.adapting.cut import cut_bundle
from export.adapting.heads import MIDDLE, Array, Ints, Vectors, fit_platt, from_labels, out_of_fold
from export.adapting.suggesting import suggest
from export.adapting.traffic import read_layers

TEST, DRAWS = 700, 3  # messages to test on; random draws a split, which are averaged


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("labelled", type=Path, nargs="+", help="JSONL with text and at_risk or stressor")
    parser.add_argument("--bundle", type=Path, help="a full bundle; default: the task stress is built")
    parser.add_argument("--start", type=int, nargs="*", default=[10])
    parser.add_argument("--count", type=int, default=25)
    parser.add_argument("--shares", type=float, nargs="*", default=[0.05, 0.15, 0.3, 0.5])
    parser.add_argument("--traffic", type=int, default=2000)
    parser.add_argument("--splits", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    full = full_bundle(options.bundle)
    rows = [json.loads(line) for path in options.labelled for line in path.read_text().splitlines() if line]
    labels = np.array([bool(row.get("at_risk", row.get("stressor", False))) for row in rows], np.int64)
    layer = round(MIDDLE * full.manifest.source.layers)
    with TemporaryDirectory(dir=full.path.parent) as folder:
        reader = open_reader(cut_bundle(full, layer, Path(folder)), "pooled")
        read = read_layers(reader, [row["text"] for row in rows], 1, lambda *_: None).layer(1)
    print(f"{len(rows)} messages, {labels.mean():.0%} at risk, layer {layer}; {options.splits} splits")
    print("\n| at risk | start | labels | F1 | AUC | at risk among them | F1 against | AUC against |")
    print("|---|---|---|---|---|---|---|---|")
    with threadpool_limits(1, "blas"):
        for start in options.start:
            for share in options.shares:
                measure(read, labels, share, start, options)


def measure(read: Array, labels: Ints, share: float, start: int, options: argparse.Namespace) -> None:
    """Print a row for every rule, for traffic of which this share is at risk."""
    figures: dict[str, list[Array]] = defaultdict(list)
    for split in range(options.splits):
        chance = np.random.default_rng([options.seed, split])
        kinds = [chance.permutation(np.flatnonzero(labels == kind)) for kind in (1, 0)]
        test = np.concatenate([kind[: TEST // 2] for kind in kinds])
        known = np.concatenate([kind[TEST // 2 : (TEST + start) // 2] for kind in kinds])
        sizes = [round(share * options.traffic), options.traffic - round(share * options.traffic)]
        pairs = zip(kinds, sizes, strict=True)
        traffic = np.concatenate([kind[(TEST + start) // 2 :][:size] for kind, size in pairs])
        decisions = None
        if start:
            head = from_labels(labels[known])(read[known], np.arange(len(known)))
            decisions = head(read[traffic])
        every = read[traffic]
        rules = {"suggested": [each.message for each in suggest(every, decisions, options.count)]}
        if decisions is not None:
            rules["k-means"] = [each.message for each in suggest(every, None, options.count)]
            rules["uncertain"] = np.argsort(np.abs(decisions))[: options.count].tolist()
            rules["riskiest"] = np.argsort(-decisions)[: options.count].tolist()
        for name, chosen in rules.items():
            figures[f"{options.count} {name}"].append(judged(read, labels, known, traffic[chosen], test))
        for count in (options.count, 2 * options.count):
            drawn = [chance.choice(traffic, count, replace=False) for _ in range(DRAWS)]
            figures[f"{count} at random"].append(
                np.mean([judged(read, labels, known, each, test) for each in drawn], axis=0)
            )
    against = np.array(figures[f"{2 * options.count} at random"])
    for name, each in figures.items():
        f1, auc, positives = np.mean(each, axis=0)
        apart = np.array(each) - against
        cells = [
            f"{mean:+.3f} ± {error:.3f}"
            for mean, error in zip(
                apart.mean(axis=0)[:2], apart.std(axis=0)[:2] / np.sqrt(len(apart)), strict=True
            )
        ]
        found = f"{f1:.3f} | {auc:.3f} | {positives:.1f} | {' | '.join(cells)}"
        print(f"| {share:.0%} | {start} | {name} | {found} |", flush=True)


def judged(read: Array, labels: Ints, known: Ints, more: Ints, test: Ints) -> Array:
    """F1 and AUC on the test of a head fitted on what is labelled, and how many of `more` are at risk."""
    train = np.concatenate([known, more])
    found, positives = labels[train], float(labels[more].sum())
    if min(np.bincount(found, minlength=2)) < 2:  # no head can be fitted
        return np.array([0.0, 0.5, positives])
    learn = from_labels(found)
    vectors = Vectors(read[train][:, np.newaxis].astype(np.float32), np.arange(len(train)))
    platt = fit_platt(out_of_fold(vectors, 1, found, learn), found)
    decisions = learn(read[train], np.arange(len(train)))(read[test])
    flagged = platt.slope * decisions + platt.shift >= 0
    return np.array([f1_score(labels[test], flagged), roc_auc_score(labels[test], decisions), positives])


if __name__ == "__main__":
    main()
