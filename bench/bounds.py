"""Do the bounds of `mimamori calibrate` hold on messages that nothing was fitted on, and do risks mean it?

    python -m bench.bounds LABELLED … [--splits 100] [--labels 50] [--calibrate 200] [--seed 1] [--json FILE]

Each split halves the labelled messages, class by class. From one half it draws messages to adapt on, half of
them at risk, and so many of either class to calibrate on; distilled readings learn from the rest of that half
without its labels. The other half is unseen: the share of its messages at risk that a bundle would clear is
the true miss rate, and its messages, weighed as at 5, 30, 50 and 70 % at risk, tell the calibration error.

"exceeds" is the share of splits in which the unseen half is missed more often than the rate; with confidence
0.9 it should be a tenth at most, give or take what chance does to so many splits (Clopper and Pearson's 95 %
interval). "adapt" is the bound that adapt sets from its own examples out of fold. The share at risk is
estimated from 2,000 messages of the unseen half, drawn at each share, in the first `--estimates` splits.

Texts are read whole, so that a discount of long ones plays no part. `--layer` skips the choice of a layer in
every split. `--keep FILE` keeps the vectors that were read, and reads them from there the next time.
"""

import argparse
import json
from collections import defaultdict
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from scipy.stats import beta
from threadpoolctl import threadpool_limits

from bench.yardstick.bundles import full_bundle
from engine.bundle.calibration import Share
from engine.errors import TaskError
from engine.load import open_reader
from engine.odds import restated, sigmoid
from export.adapting.distilling import own_teacher, student
from export.adapting.heads import (
    Array,
    Chosen,
    Ints,
    Learn,
    Levels,
    Vectors,
    choose,
    fit_platt,
    from_labels,
    out_of_fold,
)
from export.adapting.thresholds import conformal_bounds
from export.adapting.traffic import read_layers
from export.calibrating.conclusion import conclude
from export.calibrating.goal import Goal
from export.calibrating.share import from_traffic
from export.calibrating.stating import calibration_error, finite_log_odds, reliability, shifted

RATES: Final = (0.05, 0.1)
SHARES: Final = (0.05, 0.3, 0.5, 0.7)
NO_LEVELS: Final = Levels(np.zeros(0, np.int64), np.zeros(0, np.int64), 2)
_MOST: Final = 3000  # of a class
_STREAM: Final = 2000

Figures = dict[str, list[float]]


class Split(NamedTuple):
    """Indices of the messages to adapt on, to calibrate on, unlabelled ones, and the unseen half."""

    adapt: Ints
    calibrate: Ints
    traffic: Ints
    unseen: Ints


class Way(NamedTuple):
    """A way of screening, adapted: every message's risk [N] and hurdle [N] (see `cleared.hurdles`).

    `out_of_fold` are the risks of the messages that it was adapted on, for adapt's own bound.
    """

    risks: Array
    hurdles: Array
    out_of_fold: Array


Adapt = Callable[[Vectors, Ints, Split, Chosen], Way]
"""Makes a way of a split, for the layer chosen on it. A cascade would be one more of these."""


def main() -> None:
    """Measure, print, and write what was measured."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("labelled", type=Path, nargs="+", help="JSONL with text and at_risk or stressor")
    parser.add_argument("--bundle", type=Path, help="a full bundle; default: the task stress is built")
    parser.add_argument("--splits", type=int, default=100)
    parser.add_argument("--labels", type=int, default=50)
    parser.add_argument("--calibrate", type=int, default=200, help="of each class")
    parser.add_argument("--confidence", type=float, default=0.9)
    parser.add_argument("--depths", type=int, nargs="*", default=[1, 4])
    parser.add_argument("--layer", type=int, help="read by the head, instead of one chosen in every split")
    parser.add_argument("--estimates", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", type=Path, help=".npz of the vectors")
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    texts, labels = _labelled(options.labelled)
    vectors = _vectors(texts, options)
    ways: Mapping[str, Adapt] = {"head": head} | {
        f"distilled {depth}": partial(distilled, depth=depth) for depth in options.depths
    }
    figures: dict[str, Figures] = {name: defaultdict(list) for name in ways}
    chance = np.random.default_rng(options.seed)
    print(f"{labels.sum()} at risk, {(1 - labels).sum()} not; {options.splits} splits", flush=True)
    with threadpool_limits(1, "blas"):
        for number in range(options.splits):
            split = _split(labels, options.labels, options.calibrate, chance)
            chosen = _chosen(vectors, labels, split, options.layer)
            for name, adapt in ways.items():
                way = adapt(vectors, labels, split, chosen)
                _measure(way, labels, split, options.confidence, figures[name])
                if number < options.estimates:
                    _estimate(way, labels, split, chance, figures[name])
            if not (number + 1) % 10:
                print(f"split {number + 1}", flush=True)
    for name, found in figures.items():
        _show(name, found, options.splits)
    if options.json:
        said = {key: value for key, value in vars(options).items() if not isinstance(value, (Path, list))}
        options.json.write_text(json.dumps({"options": said, "figures": figures}, indent=1) + "\n")


def head(vectors: Vectors, labels: Ints, split: Split, chosen: Chosen) -> Way:
    """The adapted head."""
    return _way(vectors, labels, split, chosen.layer, from_labels(labels[split.adapt]), chosen)


def distilled(vectors: Vectors, labels: Ints, split: Split, chosen: Chosen, *, depth: int) -> Way:
    """A shallower reading that learnt from the head on the unlabelled messages."""
    examples = _some(vectors, split.adapt)
    heard = _some(vectors, split.traffic)
    own = labels[split.adapt]
    teacher = own_teacher(examples, chosen, own, NO_LEVELS, heard.layer(chosen.layer), "")
    learn = student(heard.layer(depth), teacher).learn
    return _way(
        vectors,
        labels,
        split,
        depth,
        learn,
        chosen._replace(decisions=out_of_fold(examples, depth, own, learn)),
    )


def _way(vectors: Vectors, labels: Ints, split: Split, layer: int, learn: Learn, chosen: Chosen) -> Way:
    platt = fit_platt(chosen.decisions, labels[split.adapt])
    fitted = learn(_some(vectors, split.adapt).layer(layer), np.arange(len(split.adapt)))
    risks = sigmoid(platt.slope * fitted(vectors.layer(layer)) + platt.shift)
    return Way(risks, risks, sigmoid(platt.slope * chosen.decisions + platt.shift))


def _measure(way: Way, labels: Ints, split: Split, confidence: float, found: Figures) -> None:
    known, truth = labels[split.calibrate], labels[split.unseen]
    risks = way.risks[split.calibrate]
    at_risk = split.unseen[truth == 1]
    for rate in RATES:
        # Alarms have the same rate, so that no bound lacks examples that the other has.
        told = conclude(
            way.hurdles[split.calibrate],
            lambda _: risks,
            known,
            Goal(rate, rate, confidence),
            lambda *_: Share(0.5, "stated"),
        )
        hurdles = restated(way.hurdles[at_risk], told.odds)
        said = told.statement
        for name, interval in (("confidence", said.with_confidence), ("expectation", said.in_expectation)):
            if interval is not None:
                found[f"{name} {rate}"].append(float((hurdles < interval.lower).mean()))
        lower = conformal_bounds(way.out_of_fold, labels[split.adapt], rate).lower
        found[f"adapt {rate}"].append(float((way.hurdles[at_risk] < lower).mean()))
    for share in SHARES:
        stated = restated(way.risks[split.unseen], shifted(told.odds, 0.5, share))
        found[f"ECE at {share}"].append(calibration_error(reliability(stated, truth, share)))
        plain = way.risks[split.unseen]
        found[f"ECE before, at {share}"].append(calibration_error(reliability(plain, truth, share)))


def _estimate(way: Way, labels: Ints, split: Split, chance: np.random.Generator, found: Figures) -> None:
    """Estimate the share of a stream made of the unseen half, at each share."""
    decisions, known = finite_log_odds(way.risks[split.calibrate]), labels[split.calibrate]
    for share in SHARES:
        count = round(share * _STREAM)
        drawn = [
            chance.choice(split.unseen[labels[split.unseen] == label], number)
            for label, number in ((1, count), (0, _STREAM - count))
        ]
        try:
            said = from_traffic(decisions, known, way.risks[np.concatenate(drawn)])
        except TaskError:
            found[f"refused at {share}"].append(1.0)
            continue
        found[f"estimate at {share}"].append(said.prevalence)
        inside = said.low is not None and said.high is not None and said.low <= share <= said.high
        found[f"inside at {share}"].append(float(inside))


def _chosen(vectors: Vectors, labels: Ints, split: Split, layer: int | None) -> Chosen:
    examples, own = _some(vectors, split.adapt), labels[split.adapt]
    if layer is None:
        return choose(examples, own, lambda *_: None)
    return Chosen(layer, out_of_fold(examples, layer, own, from_labels(own)), np.zeros(layer))


def _split(labels: Ints, adapt: int, calibrate: int, chance: np.random.Generator) -> Split:
    parts: list[list[Ints]] = [[], [], [], []]
    for label in (0, 1):
        drawn = chance.permutation(np.flatnonzero(labels == label))
        half, few = len(drawn) // 2, adapt // 2
        if half < few + calibrate:
            raise SystemExit(f"{len(drawn)} messages of class {label} are too few for these splits")
        ends = (0, few, few + calibrate, half, len(drawn))
        for part, first, last in zip(parts, ends[:-1], ends[1:], strict=True):
            part.append(drawn[first:last])
    return Split(*(np.concatenate(part) for part in parts))


def _labelled(paths: list[Path]) -> tuple[list[str], Ints]:
    """Every text once, up to 3,000 of a class; a file with neither field holds messages not at risk."""
    found: dict[str, bool] = {}
    for path in paths:
        for line in filter(str.strip, path.read_text().splitlines()):
            row = json.loads(line)
            found.setdefault(str(row["text"]).strip(), bool(row.get("at_risk", row.get("stressor", False))))
    chance = np.random.default_rng(0)
    classes = [np.array([text for text, ill in found.items() if ill is label]) for label in (False, True)]
    drawn = [chance.permutation(each)[:_MOST] for each in classes]
    return [str(text) for each in drawn for text in each], np.repeat([0, 1], [len(each) for each in drawn])


def _vectors(texts: list[str], options: argparse.Namespace) -> Vectors:
    """One mean vector a text, of every layer that is asked for."""
    starts = np.arange(len(texts))
    if options.keep and options.keep.exists():
        return Vectors(np.load(options.keep)["vectors"].astype(np.float32), starts)
    full = full_bundle(options.bundle)
    reader = open_reader(full, "pooled", threads=options.threads)
    print(f"reads on {reader.device.name} {reader.device.precision}", flush=True)
    layers = max(options.layer or full.manifest.source.layers, *options.depths, 1)
    read = read_layers(reader, texts, layers, lambda *_: None).windows
    if options.keep:
        np.savez(options.keep, vectors=read.astype(np.float16))
    return Vectors(read, starts)


def _some(vectors: Vectors, chosen: Ints) -> Vectors:
    return Vectors(vectors.windows[chosen], np.arange(len(chosen)))


def _show(name: str, found: Figures, splits: int) -> None:
    print(f"\n{name}\n| bound | missed: mean | sd over splits | exceeds | 95 % |\n|---|---|---|---|---|")
    for bound in ("confidence", "expectation", "adapt"):
        for rate in RATES:
            if not (missed := np.array(found[f"{bound} {rate}"])).size:
                print(f"| {bound} {rate:g} | too few examples | | | |")
                continue
            over = int((missed > rate).sum())
            low = beta.ppf(0.025, over, len(missed) - over + 1) if over else 0.0
            high = beta.ppf(0.975, over + 1, len(missed) - over) if over < len(missed) else 1.0
            error = missed.std() / np.sqrt(len(missed))
            print(
                f"| {bound} {rate:g} | {missed.mean():.4f} ± {error:.4f} | {missed.std():.4f} "
                f"| {over / len(missed):.2f} | {low:.2f} to {high:.2f} |"
            )
    print("\n| at risk | ECE | sd | ECE before | share estimated | sd | inside 90 % | refused |")
    print("|---|---|---|---|---|---|---|---|")
    for share in SHARES:
        after, before = (np.array(found[f"ECE{word} {share}"]) for word in (" at", " before, at"))
        guessed, inside = np.array(found[f"estimate at {share}"]), found[f"inside at {share}"]
        cells = (
            f"{guessed.mean():.3f} | {guessed.std():.3f} | {np.mean(inside):.2f}" if guessed.size else "| |"
        )
        refused = len(found[f"refused at {share}"])
        print(
            f"| {share:.0%} | {after.mean():.3f} | {after.std():.3f} | {before.mean():.3f} | {cells} "
            f"| {refused} of {refused + len(guessed)} |"
        )
    print(f"({splits} splits)")


if __name__ == "__main__":
    main()
