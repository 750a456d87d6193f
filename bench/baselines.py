"""What the adapted head gains over baselines that learn from the same few labels.

    python -m bench.baselines LABELLED … --embedding FOLDER [--labels 10 25 50] [--splits 10] [--seed 1]

Each split draws labelled messages, half of them at risk, fits every way on them alone, and tests on all
others. "head" is what `mimamori adapt` fits, layer and calibration included; draws that adapt refuses, as it
cannot rank them out of fold, count as all at risk. The others are baselines of `mimamori evaluate`. F1 is at
even odds; mean over the splits and their standard deviation. Rates are of this machine and run: the head's
is its engine's, a baseline's is of reading and scoring, without fitting. The sentence embedding is a folder
as sentence-transformers writes it, read in the same runtime and precision.
"""

import argparse
import json
import tempfile
from collections import defaultdict
from functools import partial
from pathlib import Path
from statistics import mode

import numpy as np
from sklearn.metrics import f1_score, roc_auc_score
from threadpoolctl import threadpool_limits

from bench.yardstick.bundles import full_bundle
from bench.yardstick.labelled import Ints, Labelled, read_labelled, splits
from engine.load import open_reader
from engine.odds import sigmoid
from export.adapting.cut import trim
from export.adapting.heads import Array, Vectors, choose, fit_platt, from_labels, out_of_fold
from export.adapting.rates import measure
from export.adapting.windowing import UNCUT, read_windows
from export.baselines.known import Baseline, Machine, baselines
from export.examples import LabelledExample
from export.rate import BATCH

Row = tuple[float, float]  # F1 and AUC of one split


def main() -> None:
    """Measure, print, and write what was measured."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("labelled", type=Path, nargs="+", help="JSONL with text and at_risk or stressor")
    parser.add_argument("--embedding", type=Path, help="a sentence embedding's folder")
    parser.add_argument("--bundle", type=Path, help="a full bundle; default: the task stress is built")
    parser.add_argument("--labels", type=int, nargs="*", default=[10, 25, 50])
    parser.add_argument("--splits", type=int, default=10)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    full = full_bundle(options.bundle)
    data = read_labelled(options.labelled)
    opened = partial(open_reader, output="pooled", threads=options.threads)
    reader = opened(full)
    runs = f"{reader.device.name} {reader.device.precision}, {reader.device.threads} threads"
    print(f"{len(data.texts)} labelled messages, {runs}", flush=True)
    read = read_windows(reader, data.texts, UNCUT)
    vectors = Vectors(read.windows.astype(np.float32), read.starts)
    del reader
    names = ["tf-idf", *([f"embedding:{options.embedding}"] if options.embedding else [])]
    ways = baselines(names, full.manifest.task, machine=Machine(threads=options.threads), seed=options.seed)
    figures: dict[str, dict[int, list[Row]]] = defaultdict(lambda: defaultdict(list))
    layers, refused = [], dict.fromkeys(options.labels, 0)
    for count in options.labels:
        for train, test in splits(data.labels, options.splits, count, options.seed):
            row, layer, ranks = _head(vectors, data.labels, train, test)
            figures["head"][count].append(row)
            layers.append(layer)
            refused[count] += not ranks
            for way in ways:
                figures[way.name][count].append(_baseline(way, data, train, test))
        means = {
            name: round(float(np.mean([row[0] for row in found[count]])), 3)
            for name, found in figures.items()
        }
        print(f"F1 at {count} labels: {means}; adapt refuses {refused[count]} draws", flush=True)
    rates: dict[str, float | None] = {way.name: way.messages_per_second for way in ways}
    with tempfile.TemporaryDirectory(dir=full.path.parent) as folder:
        layer = mode(layers)
        trimmed = trim(full, layer, Path(folder))
        rates["head"] = measure(trimmed, [layer], data.texts[:BATCH], opened, lambda *_: None)[layer]
    _show(figures, rates, options.labels)
    if options.json:
        found = {"runs": runs, "layers": layers, "refused": refused, "rates": rates, "figures": figures}
        options.json.write_text(json.dumps(found, indent=1) + "\n")


def _head(vectors: Vectors, labels: Ints, train: Ints, test: Ints) -> tuple[Row, int, bool]:
    """F1 and AUC, the layer, and whether the head ranks the examples out of fold."""
    examples, others = _some(vectors, train), _some(vectors, test)
    with threadpool_limits(1, "blas"):
        chosen = choose(examples, labels[train], lambda *_: None)
        learn = from_labels(labels[train])
        platt = fit_platt(out_of_fold(examples, chosen.layer, labels[train], learn), labels[train])
        head = learn(examples.means(examples.layer(chosen.layer)), np.arange(len(train)))
        decisions: Array = others.highest(head(others.layer(chosen.layer)))
    return _row(labels[test], sigmoid(platt.slope * decisions + platt.shift)), chosen.layer, platt.slope > 0


def _baseline(way: Baseline, data: Labelled, train: Ints, test: Ints) -> Row:
    examples = [LabelledExample(data.texts[n], bool(data.labels[n])) for n in train]
    return _row(data.labels[test], way.risks(examples, [data.texts[n] for n in test], lambda _: None))


def _row(labels: Ints, risks: Array) -> Row:
    return float(f1_score(labels, risks >= 0.5)), float(roc_auc_score(labels, risks))


def _some(vectors: Vectors, chosen: Ints) -> Vectors:
    """The vectors of some texts, each with all its windows."""
    stops = np.append(vectors.starts[1:], len(vectors.windows))
    windows = [vectors.windows[vectors.starts[text] : stops[text]] for text in chosen]
    starts = np.cumsum([0, *(len(each) for each in windows[:-1])])
    return Vectors(np.concatenate(windows), starts)


def _show(
    figures: dict[str, dict[int, list[Row]]], rates: dict[str, float | None], labels: list[int]
) -> None:
    print(f"\n| way | {' | '.join(f'F1 / AUC at {count}' for count in labels)} | messages/s |")
    print("|---" * (len(labels) + 2) + "|")
    for name, found in figures.items():
        cells = []
        for count in labels:
            f1, auc = np.mean(found[count], axis=0)
            cells.append(f"{f1:.3f} ± {np.std([row[0] for row in found[count]]):.3f} / {auc:.3f}")
        print(f"| {name} | {' | '.join(cells)} | {rates[name] or 0:,.0f} |")


if __name__ == "__main__":
    main()
