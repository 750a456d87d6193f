"""What a cascade saves on a stream that is mostly harmless, and whether one bound holds for both its depths.

    python -m bench.cascade LABELLED … --everyday FILE [--labels 50] [--splits 100] [--harmless 0.95]

Each split draws labelled messages, half of them at risk, fits the head of `--layer` on them and distils it to
`--depths` on everyday messages of which one in twenty is at risk. No text is in two of these sets. Thresholds
are set as `mimamori adapt` sets them, for the tolerated miss rates, and measured on the labelled messages at
risk that were not drawn, and on everyday messages kept apart. The same is measured with both at the same miss
rate on the messages that they are measured on: for what each then saves.

Then one cascade is adapted as the command does and runs here, beside the head alone, in one process and turn
by turn: "from hidden states" is the cascade, "from the start" one whose second graph reads everything again.
"""

import argparse
import json
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
from sklearn.feature_extraction.text import HashingVectorizer, TfidfTransformer
from sklearn.linear_model import Ridge
from threadpoolctl import threadpool_limits

from bench.yardstick.bundles import full_bundle
from bench.yardstick.labelled import Ints, read_labelled, splits
from bench.yardstick.turns import again, interleaved, shallow_risks, stopping
from engine.bundle import Bundle
from engine.load import load_engine, open_reader
from engine.odds import sigmoid
from export.adapting.adapt import adapt
from export.adapting.cut import trim
from export.adapting.distilled import Distillation
from export.adapting.distilling import own_teacher, student
from export.adapting.heads import Array, Chosen, Levels, Vectors, fit_platt, from_labels, out_of_fold
from export.adapting.stopping import joint_lower
from export.adapting.thresholds import conformal_bounds
from export.adapting.traffic import read_layers
from export.examples import LabelledExample
from export.rate import BATCH

NO_LEVELS = Levels(np.zeros(0, np.int64), np.zeros(0, np.int64), 2)  # severity is not measured here
KEPT_APART = 600  # everyday messages

Figures = dict[
    str, list[tuple[float, float, float]]
]  # missed, cleared of the harmless, stopped of the stream


class Texts(NamedTuple):
    """The labelled messages, what is learnt from, and the harmless ones that are measured on."""

    labelled: list[str]
    labels: Ints
    traffic: list[str]
    harmless: list[str]


class Risks(NamedTuple):
    """Of one reading: the risks of the examples out of fold, of those at risk, and of the harmless."""

    examples: Array
    at_risk: Array
    harmless: Array


def main() -> None:
    """Measure, print, and write what was measured."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("labelled", type=Path, nargs="+", help="JSONL with text and at_risk or stressor")
    parser.add_argument("--everyday", type=Path, required=True, help="JSONL with text: harmless messages")
    parser.add_argument("--bundle", type=Path, help="a full bundle; default: the task stress is built")
    parser.add_argument("--layer", type=int, default=16, help="that of the head")
    parser.add_argument("--depths", type=int, nargs="*", default=[1, 2, 4, 6])
    parser.add_argument("--full", type=int, help="full depth of the cascade that runs; default: the head's")
    parser.add_argument("--rates", type=float, nargs="*", default=[0.05, 0.1])
    parser.add_argument("--harmless", type=float, default=0.95, help="share of the stream")
    parser.add_argument("--labels", type=int, default=50)
    parser.add_argument("--splits", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    full = full_bundle(options.bundle)
    texts = _texts(options.labelled, options.everyday, options.harmless)
    opened = partial(open_reader, output="pooled", threads=options.threads)
    read = partial(_vectors, full, options.layer, opened)
    labelled, traffic, harmless = (read(each) for each in (texts.labelled, texts.traffic, texts.harmless))
    drawn = splits(texts.labels, options.splits, options.labels, options.seed)
    fitted: dict[str, Figures] = {f"{rate:g}": defaultdict(list) for rate in options.rates}
    equal: dict[str, Figures] = {f"{rate:g}": defaultdict(list) for rate in options.rates}
    with threadpool_limits(1, "blas"):
        for train, test in drawn:
            readings = _readings(labelled, texts.labels, train, test, traffic, harmless, options)
            for rate in options.rates:
                _measure(
                    readings, texts.labels[train], rate, options, fitted[f"{rate:g}"], equal[f"{rate:g}"]
                )
    _show("each bound as adapt fits it", fitted, options.splits)
    _show("all at the same measured miss rate", equal, options.splits)
    words = _words(texts, labelled, traffic, drawn, options)
    print("\na hashed n-gram student, at the same measured miss rate: cleared of the harmless alone")
    print(" | ".join(f"{rate}: {share:.3f}" for rate, share in words.items()))
    examples = [LabelledExample(texts.labelled[n], bool(texts.labels[n])) for n in drawn[0][0]]
    timed = f"cascade {options.depths[0]}-{options.full or options.layer}"
    stops = {rate: float(np.mean([row[2] for row in rows[timed]])) for rate, rows in equal.items()}
    rates = _rates(full, examples, texts, stops, options)
    for name, figure in rates.items():
        print(f"{name}: {figure:.2f}")
    if options.json:
        found = {"fitted": fitted, "equal": equal, "rates": rates, "n-gram": words}
        options.json.write_text(json.dumps(found, indent=1) + "\n")


def _texts(labelled: list[Path], everyday: Path, share: float) -> Texts:
    data = read_labelled([*labelled, everyday])
    known = set(data.texts)
    lines = [json.loads(line) for path in labelled for line in path.read_text().splitlines() if line.strip()]
    risky = [str(line["text"]) for line in lines if line.get("at_risk", line.get("stressor"))]
    risky = [text for text in dict.fromkeys(risky) if text not in known]
    calm = [str(json.loads(line)["text"]) for line in everyday.read_text().splitlines() if line.strip()]
    calm = [text for text in dict.fromkeys(calm) if text not in known and text.strip()]
    chance = np.random.default_rng(0)
    calm = [calm[index] for index in chance.permutation(len(calm))]
    apart, learnt = calm[:KEPT_APART], calm[KEPT_APART:]
    some = risky[: round(len(learnt) * (1 - share) / share)]
    mixed = [*learnt, *some]
    return Texts(data.texts, data.labels, [mixed[n] for n in chance.permutation(len(mixed))], apart)


def _vectors(full: Bundle, layers: int, opened: Callable[[Bundle], Any], texts: list[str]) -> Vectors:
    """The vectors of the layers up to the head's, one a text, by a graph that is cut there."""
    began = time.perf_counter()
    with tempfile.TemporaryDirectory(dir=full.path.parent) as folder:
        manifest = msgspec.structs.replace(full.manifest, reading="pooled", layer=layers)
        reader = opened(msgspec.structs.replace(trim(full, layers, Path(folder)), manifest=manifest))
        vectors = read_layers(reader, texts, layers, lambda *_: None)
    print(f"{len(texts)} texts read in {time.perf_counter() - began:.0f} s", flush=True)
    return vectors


def _readings(
    labelled: Vectors,
    labels: Ints,
    train: Ints,
    test: Ints,
    traffic: Vectors,
    harmless: Vectors,
    options: argparse.Namespace,
) -> dict[int, Risks]:
    """The head and its students of one split, each calibrated on the examples, by depth."""
    examples = Vectors(labelled.windows[train], np.arange(len(train)))
    at_risk = Vectors(labelled.windows[test[labels[test] == 1]], np.arange(int(labels[test].sum())))
    known, every = labels[train], np.arange(len(train))
    alone = from_labels(known)
    chosen = Chosen(options.layer, out_of_fold(examples, options.layer, known, alone), np.zeros(0))
    teacher = own_teacher(examples, chosen, known, NO_LEVELS, traffic.layer(options.layer), "")
    found = {}
    for depth in [*options.depths, options.layer]:
        learn = alone if depth == options.layer else student(traffic.layer(depth), teacher).learn
        decisions = chosen.decisions if depth == options.layer else out_of_fold(examples, depth, known, learn)
        platt, head = fit_platt(decisions, known), learn(examples.layer(depth), every)
        found[depth] = Risks(
            *(
                sigmoid(platt.slope * each + platt.shift)
                for each in (decisions, head(at_risk.layer(depth)), head(harmless.layer(depth)))
            )
        )
    return found


def _measure(
    readings: dict[int, Risks],
    labels: Ints,
    rate: float,
    options: argparse.Namespace,
    fitted: Figures,
    equal: Figures,
) -> None:
    """Add a row of every way to the figures."""
    for depth, alone in readings.items():
        name = f"{'head' if depth == options.layer else 'distilled'} {depth}"
        lower = conformal_bounds(alone.examples, labels, rate).lower
        fitted[name].append(_row(alone, alone, lower, 0.0, options.harmless))
        equal[name].append(_row(alone, alone, float(np.quantile(alone.at_risk, rate)), 0.0, options.harmless))
    first = options.depths[0]
    for depth, deep in readings.items():
        if depth > first:
            name, shallow = f"cascade {first}-{depth}", readings[first]
            lower = joint_lower(shallow.examples, deep.examples, labels, rate)
            fitted[name].append(_row(shallow, deep, lower, lower, options.harmless))
            lower = float(np.quantile(np.minimum(shallow.at_risk, deep.at_risk), rate))
            equal[name].append(_row(shallow, deep, lower, lower, options.harmless))


def _row(shallow: Risks, deep: Risks, lower: float, stop: float, share: float) -> tuple[float, float, float]:
    """Missed of those at risk, cleared of the harmless, and stopped of a stream with this harmless share."""
    cleared = [
        float(np.mean((first < stop) | (second < lower)))
        for first, second in ((shallow.at_risk, deep.at_risk), (shallow.harmless, deep.harmless))
    ]
    stopped = [float(np.mean(risks < stop)) for risks in (shallow.at_risk, shallow.harmless)]
    return cleared[0], cleared[1], share * stopped[1] + (1 - share) * stopped[0]


def _words(
    texts: Texts,
    labelled: Vectors,
    traffic: Vectors,
    drawn: list[tuple[Ints, Ints]],
    options: argparse.Namespace,
) -> dict[str, float]:
    """What a student of hashed words and letters, in front of the network, clears of the harmless."""
    hashed = HashingVectorizer(
        analyzer="char_wb", ngram_range=(2, 5), alternate_sign=False, norm=None, binary=True
    )
    weighted = TfidfTransformer().fit(hashed.transform(texts.traffic))
    learnt, known, apart = (
        weighted.transform(hashed.transform(each)) for each in (texts.traffic, texts.labelled, texts.harmless)
    )
    shares = defaultdict(list)
    for train, test in drawn[:10]:
        head = from_labels(texts.labels[train])(labelled.layer(options.layer)[train], np.arange(len(train)))
        model = Ridge(alpha=1.0, solver="lsqr").fit(learnt, head(traffic.layer(options.layer)))
        at_risk = model.predict(known[test[texts.labels[test] == 1]])
        for rate in options.rates:
            shares[f"{rate:g}"].append(float(np.mean(model.predict(apart) < np.quantile(at_risk, rate))))
    return {rate: float(np.mean(each)) for rate, each in shares.items()}


def _rates(
    full: Bundle,
    examples: list[LabelledExample],
    texts: Texts,
    stops: dict[str, float],
    options: argparse.Namespace,
) -> dict[str, float]:
    """Times the head's rate, by engines that run here in turns; stops are set to the shares measured."""
    risky = [text for text, label in zip(texts.labelled, texts.labels, strict=True) if label]
    count = round(BATCH * options.harmless)
    stream = [*texts.harmless[:count], *risky[: BATCH - count]]
    stream = [stream[index] for index in np.random.default_rng(0).permutation(len(stream))]
    with tempfile.TemporaryDirectory(dir=full.path.parent) as folder:
        make = partial(adapt, full.path, examples, progress=lambda *_: None, threads=options.threads)
        layer = make(out=Path(folder) / "head").layer
        make(
            out=Path(folder) / "cascade",
            distillation=Distillation(texts.traffic, depth=options.full or layer, cascade=True),
        )
        cascade, head = (Bundle.load(Path(folder) / name) for name in ("cascade", "head"))
        alone = load_engine(head, threads=options.threads)
        engine = load_engine(cascade, threads=options.threads)
        told = engine.identity.cascade
        assert told is not None  # noqa: S101 - it was asked for
        print(f"\n{engine.describe()}; the head reads layer {head.manifest.layer}; {len(stream)} messages")
        inner: Any = engine._engine  # type: ignore[attr-defined]  # noqa: SLF001 - its stop is set below
        ways: dict[str, Callable[[], object]] = {"head": partial(alone.read, stream)}
        ways["cascade as fitted"] = partial(engine.read, stream)
        shallow = shallow_risks(inner, stream)
        for rate, share in stops.items():
            stop = float(np.quantile(shallow, share))
            ways[f"cascade at {rate}, from hidden states"] = partial(stopping, engine, inner, stop, stream)
            if options.full is None:  # one that begins again needs an engine of the full depth alone
                ways[f"cascade at {rate}, from the start"] = partial(again, inner, alone, stop, stream)
        return interleaved(ways, options.rounds)


def _show(title: str, found: dict[str, Figures], count: int) -> None:
    print(f"\n{title}, {count} splits\n")
    print("| rate | way | missed | harmless cleared | stopped early |\n|---|---|---|---|---|")
    for rate, figures in found.items():
        for name, rows in figures.items():
            missed, cleared, stopped = np.mean(rows, axis=0)
            error = np.std([row[0] for row in rows]) / np.sqrt(len(rows))
            print(f"| {rate} | {name} | {missed:.3f} ± {error:.3f} | {cleared:.3f} | {stopped:.3f} |")


if __name__ == "__main__":
    main()
