"""What a shallower reading keeps of the adapted head when it learns from it on unlabelled traffic.

    python -m bench.distilled LABELLED … --traffic FILE … [--labels 50] [--splits 10] [--seed 1]

Each split draws labelled messages, half of them at risk, adapts on them as `mimamori adapt` does, and tests
on all others. "labels" is a head fitted at the depth on the labels alone. "distilled" is one that learnt from
the adapted head on so many messages of the traffic, in which no labelled text is. F1 is at even odds, after
the calibration that adapt fits out of fold; mean over the splits and their standard deviation.

Each graph is cut at its depth and run here: "network" is the rate of the graph alone, "engine" of all that an
engine does (tokens, disguises, languages); times are of the adapted head's depth in the same run. The
sentence embedding is measured on the same splits, where its weights are installed.
"""

import argparse
import json
import os
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from statistics import median, mode
from typing import NamedTuple

import numpy as np
from sklearn.metrics import f1_score, roc_auc_score
from threadpoolctl import threadpool_limits

from bench.yardstick.bundles import full_bundle
from bench.yardstick.labelled import Ints, fitted, read_labelled, splits
from bench.yardstick.sentences import embed
from engine.bundle import Bundle
from engine.load import open_reader
from engine.reading.reader import Reader
from export.adapting.cut import cut_bundle, trim
from export.adapting.distilling import own_teacher, student
from export.adapting.heads import Array, Learn, Levels, Vectors, choose, fit_platt, from_labels, out_of_fold
from export.adapting.rates import Open, measure
from export.adapting.traffic import gather, read_layers, stretches
from export.adapting.windowing import CANDIDATES, UNCUT, read_windows
from export.rate import BATCH

NO_LEVELS = Levels(np.zeros(0, np.int64), np.zeros(0, np.int64), 2)  # severity is not measured here

Splits = list[tuple[Ints, Ints]]
Row = tuple[float, float]  # F1 and AUC of one split


class Read(NamedTuple):
    """Every layer's vectors of the labelled messages and of the traffic."""

    labelled: Vectors
    labels: Ints
    traffic: Vectors


def main() -> None:
    """Measure, print, and write what was measured."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("labelled", type=Path, nargs="+", help="JSONL with text and at_risk or stressor")
    parser.add_argument("--traffic", type=Path, nargs="+", required=True, help="JSONL with text")
    parser.add_argument("--bundle", type=Path, help="a full bundle; default: the task stress is built")
    parser.add_argument("--labels", type=int, default=50)
    parser.add_argument("--splits", type=int, default=10)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--messages", type=int, nargs="*", default=[1000, 4000])
    parser.add_argument("--depths", type=int, nargs="*", default=[1, 2, 3, 4, 6, 8, 12])
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    full = full_bundle(options.bundle)
    data = read_labelled(options.labelled)
    traffic = gather(_texts(options.traffic), data.texts, max(options.messages))
    reader = open_reader(full, "pooled", threads=options.threads)
    runs = f"{reader.device.name} {reader.device.precision}, {reader.device.threads} threads"
    print(f"{len(data.texts)} labelled, {len(traffic.texts)} unlabelled messages, {runs}", flush=True)
    began = time.perf_counter()
    read = _read(reader, data.texts, data.labels, traffic.texts)
    print(f"read at full depth in {time.perf_counter() - began:.0f} s", flush=True)
    del reader
    drawn = splits(data.labels, options.splits, options.labels, options.seed)
    figures: dict[str, list[Row]] = defaultdict(list)
    layers = _all_splits(read, drawn, options.depths, options.messages, figures)
    layer = mode(layers)
    opened = partial(open_reader, output="pooled", threads=options.threads)
    with tempfile.TemporaryDirectory(dir=full.path.parent) as folder:
        depths = [*(depth for depth in options.depths if depth < layer), layer]
        timed = traffic.texts[:BATCH]
        trimmed = trim(full, layer, Path(folder))
        engine = measure(trimmed, depths, timed, opened, lambda *_: None)
        network = {depth: _network(trimmed, depth, timed, opened) for depth in depths}
    try:
        vectors, rate = embed(data.texts, options.threads or os.cpu_count() or 1)
    except ImportError as error:
        print(f"no sentence embedding: {error} is not installed")
    else:
        figures["sentence embedding + LR"] = [
            (f1, float("nan")) for f1 in fitted(vectors, data.labels, drawn)
        ]
        print(f"sentence embedding: {rate:.0f} messages/s")
    _show(figures, network, engine, layer)
    if options.json:
        found = {"runs": runs, "layers": layers, "network": network, "engine": engine, "figures": figures}
        options.json.write_text(json.dumps(found, indent=1, default=str) + "\n")


def _all_splits(
    read: Read, drawn: Splits, depths: list[int], messages: list[int], figures: dict[str, list[Row]]
) -> list[int]:
    """Fill `figures` with a row a split; the layer that each split's head reads."""
    layers = []
    with threadpool_limits(1, "blas"):
        for split, (train, test) in enumerate(drawn, start=1):
            rows = list(_split(read, train, test, depths, messages))
            for name, row, _ in rows:
                figures[name].append(row)
            layers.append(rows[0][2])
            print(f"split {split}: the head reads layer {layers[-1]}", flush=True)
    return layers


def _split(
    read: Read, train: Ints, test: Ints, depths: list[int], messages: list[int]
) -> Iterator[tuple[str, Row, int]]:
    """Every way's name, F1 and AUC on this split, and the layer that the head reads."""
    examples, others = _some(read.labelled, train), _some(read.labelled, test)
    labels, truth = read.labels[train], read.labels[test]
    chosen = choose(examples, labels, lambda *_: None)
    alone = from_labels(labels)

    def row(depth: int, learn: Learn) -> Row:
        platt = fit_platt(out_of_fold(examples, depth, labels, learn), labels)
        head = learn(examples.means(examples.layer(depth)), np.arange(len(labels)))
        decisions: Array = others.highest(head(others.layer(depth)))
        flagged = platt.slope * decisions + platt.shift >= 0
        return float(f1_score(truth, flagged)), float(roc_auc_score(truth, decisions))

    yield "head", row(chosen.layer, alone), chosen.layer
    for depth in depths:
        if depth < chosen.layer:
            yield f"labels {depth}", row(depth, alone), chosen.layer
            for count in messages:
                traffic = Vectors(read.traffic.windows[:count], read.traffic.starts[:count])
                teacher = own_teacher(examples, chosen, labels, NO_LEVELS, traffic.layer(chosen.layer), "")
                learn = student(traffic.layer(depth), teacher).learn
                yield f"distilled ({count}) {depth}", row(depth, learn), chosen.layer


def _read(reader: Reader, texts: list[str], labels: Ints, traffic: list[str]) -> Read:
    read = read_windows(reader, texts, UNCUT)
    labelled = Vectors(read.windows.astype(np.float32), read.starts)
    layers = labelled.windows.shape[1]
    return Read(labelled, labels, read_layers(reader, stretches(reader, traffic), layers, lambda *_: None))


def _network(trimmed: Bundle, depth: int, texts: list[str], opened: Open) -> float:
    """Messages a second of the graph alone: the median of five passes after one."""
    with tempfile.TemporaryDirectory(dir=trimmed.path) as folder:
        reader = opened(cut_bundle(trimmed, depth, Path(folder), borrowed=True))
        rows = reader.cutter(CANDIDATES[0]).cut(texts).tokens
        seconds = []
        for _ in range(6):
            began = time.perf_counter()
            reader.rows(rows)
            seconds.append(time.perf_counter() - began)
    return len(texts) / median(seconds[1:])


def _some(vectors: Vectors, chosen: Ints) -> Vectors:
    """The vectors of some texts, each with all its windows."""
    stops = np.append(vectors.starts[1:], len(vectors.windows))
    windows = [vectors.windows[vectors.starts[text] : stops[text]] for text in chosen]
    starts = np.cumsum([0, *(len(each) for each in windows[:-1])])
    return Vectors(np.concatenate(windows), starts)


def _texts(paths: list[Path]) -> Iterator[str]:
    for path in paths:
        for line in path.read_text().splitlines():
            if line.strip():
                yield str(json.loads(line)["text"])


def _show(
    figures: dict[str, list[Row]], network: dict[int, float], engine: dict[int, float], layer: int
) -> None:
    print("\n| way, depth | F1 | AUC | network/s | times | engine/s | times |\n|---|---|---|---|---|---|---|")
    for name, rows in figures.items():
        f1, auc = np.mean(rows, axis=0)
        depth = layer if name == "head" else int(name.split()[-1]) if name[-1].isdigit() else None
        cells = [
            f"{rates[depth]:.0f} | {rates[depth] / rates[layer]:.1f}" if depth in rates else "|"
            for rates in (network, engine)
        ]
        spread = np.std([row[0] for row in rows])
        print(f"| {name} | {f1:.3f} ± {spread:.3f} | {auc:.3f} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
