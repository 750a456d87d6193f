"""Real models of several families side by side: what a few labels give with each, and what each costs.

    python -m bench.models LABELLED … [--labels 10 25 50] [--splits 10] [--seed 1]

Each split draws labelled messages, half of them at risk, chooses the layer and fits the head as
`mimamori adapt` does, and tests on all others. F1 is at even odds, after the calibration that adapt fits out
of fold; mean over the splits and their standard deviation. All models get the same splits.

"pooled" is the rate of the graph alone, cut at the layer that most splits of the most labels chose,
"prompted" that of the zero-shot reading, at full depth and with its question: messages a second on the texts'
own lengths: the median of the turns, with the slowest and the quickest. The models take turns, so that a
machine that slows down affects all of them; times are the first model's in the same run.

A model without a --bundle is exported, and downloaded where it has to be (torch and the export extra).
"""

import argparse
import json
import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median, mode
from typing import Any, Final, NamedTuple

import numpy as np
from sklearn.metrics import f1_score, roc_auc_score
from threadpoolctl import threadpool_limits

from bench.yardstick.labelled import Ints, Labelled, read_labelled, splits
from engine.bundle import MANIFEST, Bundle
from engine.device_names import Output
from engine.load import open_reader
from engine.reading.reader import Reader
from engine.task import load_task
from export.adapting.cut import cut_bundle
from export.adapting.heads import Vectors, choose, fit_platt, from_labels
from export.adapting.windowing import CANDIDATES, UNCUT, read_windows
from export.building.build import build_bundle
from export.building.parts import PARTED
from export.building.recipe import shipped_recipe
from export.rate import BATCH

FIRST: Final = "smollm2"
_TURNS: Final = 6


class Row(NamedTuple):
    """One split: the layer that was chosen, and F1 and AUC on the messages that were not drawn."""

    layer: int
    f1: float
    auc: float


class Rate(NamedTuple):
    """Messages a second."""

    median: float
    slowest: float
    quickest: float


def main() -> None:
    """Measure, print, and write what was measured."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("labelled", type=Path, nargs="+", help="JSONL with text and at_risk or stressor")
    parser.add_argument("--bundle", action="append", default=[], metavar="NAME=FOLDER", help="a full bundle")
    parser.add_argument("--models", nargs="+", default=[FIRST, *PARTED])
    parser.add_argument("--labels", type=int, nargs="+", default=[10, 25, 50])
    parser.add_argument("--splits", type=int, default=10)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    home = Path(os.environ.get("MIMAMORI_HOME", "~/.cache/mimamori")).expanduser() / "bench"
    given = dict(each.split("=", 1) for each in options.bundle)
    bundles = {name: _bundle(name, given.get(name), home) for name in options.models}
    data = read_labelled(options.labelled)
    print(f"{len(data.texts)} labelled messages, {int(data.labels.sum())} at risk", flush=True)
    rows: dict[str, dict[int, list[Row]]] = {}
    runs = ""
    for name, bundle in bundles.items():
        reader = open_reader(bundle, "pooled", threads=options.threads)
        runs = f"{reader.device.name} {reader.device.precision}, {reader.device.threads} threads"
        began = time.perf_counter()
        read = read_windows(reader, data.texts, UNCUT)
        print(f"{name}: read with {runs} in {time.perf_counter() - began:.0f} s", flush=True)
        del reader
        vectors = Vectors(read.windows.astype(np.float32), read.starts)
        drawn = {count: splits(data.labels, options.splits, count, options.seed) for count in options.labels}
        with threadpool_limits(1, "blas"):
            rows[name] = {
                count: [split_row(vectors, data, *split) for split in each] for count, each in drawn.items()
            }
        print({count: round(float(np.mean([row.f1 for row in of])), 3) for count, of in rows[name].items()})
    layers = {name: mode(row.layer for row in of[max(of)]) for name, of in rows.items()}
    with tempfile.TemporaryDirectory(dir=home) as folder:
        shorter = {name: cut(bundle, layers[name], Path(folder) / name) for name, bundle in bundles.items()}
        pooled = _rates(shorter, "pooled", data.texts[:BATCH], options.threads)
    prompted = _rates(bundles, "label_logits", data.texts[:BATCH], options.threads)
    found = {
        name: {
            "labels": {
                count: {
                    "f1": float(np.mean([row.f1 for row in of])),
                    "f1_sd": float(np.std([row.f1 for row in of])),
                    "auc": float(np.mean([row.auc for row in of])),
                }
                for count, of in rows[name].items()
            },
            "layer": layers[name],
            "layers": bundles[name].manifest.source.layers,
            "pooled": pooled[name]._asdict(),
            "prompted": prompted[name]._asdict(),
        }
        for name in bundles
    }
    print("\n".join(_table(found, options.labels)))
    if options.json:
        options.json.write_text(json.dumps({"runs": runs, "models": found}, indent=1) + "\n")


def _bundle(name: str, given: str | None, home: Path) -> Bundle:
    """The full bundle that was given, or built from the shipped recipe, or exported once and kept."""
    if given is not None:
        return Bundle.load(Path(given))
    if name == FIRST:
        return build_bundle(shipped_recipe("stress"), home / "models-stress")
    out = home / "models" / name
    if not (out / MANIFEST).is_file():
        from export.exporting.exporter import export_model  # noqa: PLC0415 - torch: only where it is needed

        began = time.perf_counter()
        export_model(name, load_task("stress"), out)
        print(f"{name}: exported in {time.perf_counter() - began:.0f} s", flush=True)
    return Bundle.load(out)


def split_row(vectors: Vectors, data: Labelled, train: Ints, test: Ints) -> Row:
    """Choose the layer and fit the head on `train`, and test on `test`."""
    examples, others = (_some(vectors, texts) for texts in (train, test))
    labels = data.labels[train]
    chosen = choose(examples, labels, lambda *_: None)
    learn = from_labels(labels)
    platt = fit_platt(chosen.decisions, labels)
    head = learn(examples.means(examples.layer(chosen.layer)), np.arange(len(labels)))
    decisions = others.highest(head(others.layer(chosen.layer)))
    truth, flagged = data.labels[test], platt.slope * decisions + platt.shift >= 0
    return Row(chosen.layer, float(f1_score(truth, flagged)), float(roc_auc_score(truth, decisions)))


def _some(vectors: Vectors, chosen: Ints) -> Vectors:
    """The vectors of some texts, each with all its windows."""
    stops = np.append(vectors.starts[1:], len(vectors.windows))
    windows = [vectors.windows[vectors.starts[text] : stops[text]] for text in chosen]
    return Vectors(np.concatenate(windows), np.cumsum([0, *(len(each) for each in windows[:-1])]))


def cut(bundle: Bundle, layer: int, folder: Path) -> Bundle:
    """The bundle cut at a layer, in a new folder, as far as it can be read with."""
    folder.mkdir()
    return cut_bundle(bundle, layer, folder, borrowed=True)


def _rates(bundles: dict[str, Bundle], output: Output, texts: list[str], threads: int) -> dict[str, Rate]:
    """Messages a second of each graph, of the turns after the first."""
    readers = {name: open_reader(bundle, output, threads=threads) for name, bundle in bundles.items()}
    rows = {name: rows_of(reader, texts, output) for name, reader in readers.items()}
    seconds: dict[str, list[float]] = {name: [] for name in readers}
    for _ in range(_TURNS):
        for name, reader in readers.items():
            began = time.perf_counter()
            reader.rows(rows[name])
            seconds[name].append(time.perf_counter() - began)
    return {
        name: Rate(*(len(texts) / spent for spent in (median(each[1:]), max(each[1:]), min(each[1:]))))
        for name, each in seconds.items()
    }


def rows_of(reader: Reader, texts: list[str], output: Output) -> Sequence[Sequence[int]]:
    """What the graph reads of `texts`: the windows of each, and behind it the question, if one is asked."""
    suffix = reader.prompt.risk_suffix if output == "label_logits" else []
    return reader.cutter(CANDIDATES[0]).cut(texts, suffix).tokens


def _table(found: dict[str, dict[str, Any]], labels: list[int]) -> Iterator[str]:
    heads = [f"F1, {count} labels" for count in labels]
    columns = ["model", *heads, f"AUC, {max(labels)}", "layer", "pooled/s", "times", "prompted/s", "times"]
    yield f"\n| {' | '.join(columns)} |"
    yield "|---" * len(columns) + "|"
    first = next(iter(found.values()))
    for name, model in found.items():
        of = model["labels"]
        cells = [f"{of[count]['f1']:.3f} ± {of[count]['f1_sd']:.3f}" for count in labels]
        cells += [f"{of[max(labels)]['auc']:.3f}", f"{model['layer']} of {model['layers']}"]
        for reading in ("pooled", "prompted"):
            rate = Rate(**model[reading])
            cells += [f"{rate.median:.0f} ({rate.slowest:.0f}-{rate.quickest:.0f})"]
            cells += [f"{rate.median / first[reading]['median']:.2f}"]
        yield f"| {name} | {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
