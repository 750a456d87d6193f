"""Measures whether small talk hides a message at risk, and whether long small talk looks like one.

    python -m bench.dilution [--task stress …] [--seeds 5] [--json out.json]
    python -m bench.dilution --examples FILE … --padding FILE   adapt on a part of your own messages

Messages at risk that the heads have not seen are put at the start, in the middle or at the end of small talk
of 40 to 500 words. The same amount of small talk alone is harmless. "before" reads in windows of 256 tokens
with the same heads and thresholds, "after" as the bundle says. Each seed draws other small talk and places
(with --examples, also another split and another adaptation). Figures are the median over the seeds, with the
lowest and the highest.

    found    share of the messages at risk that are not clear
    flagged  share of them that are at_risk
    alarms   share of the harmless texts that are at_risk
    asked    share of the harmless texts that are not clear: a person looks
"""

import argparse
import json
import os
import random
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np

from bench.yardstick.labelled import read_labelled
from engine.bundle import Bundle
from engine.contract import Engine
from engine.load import load_engine
from engine.policy import verdict
from engine.task import SHIPPED, load_task
from export.adapting.adapt import adapt
from export.adapting.windowing import UNCUT
from export.building.build import build_bundle
from export.building.recipe import shipped_recipe
from export.examples import LabelledExample, read_examples, shipped_examples
from schemas.events import Thresholds

SMALL_TALK = Path(__file__).parent / "yardstick" / "small-talk.txt"
LENGTHS = (0, 40, 150, 300, 500)
FIGURES = ("found", "flagged", "alarms", "asked")
LABELS = 50  # the share of --examples that the bundle is adapted on

Row = dict[str, float]


def main() -> None:
    """Measure, print, and write the results."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--task", nargs="*", default=["stress", "suicide-risk"])
    parser.add_argument("--examples", type=Path, nargs="*", help="JSONL with text and at_risk or stressor")
    parser.add_argument("--padding", type=Path, default=SMALL_TALK, help="a text a line, or JSONL with text")
    parser.add_argument("--lengths", type=int, nargs="*", default=LENGTHS, help="words of small talk")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--texts", type=int, default=40, help="most messages at risk that are tried")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    home = Path(os.environ.get("MIMAMORI_HOME", "~/.cache/mimamori")).expanduser() / "bench"
    padding = _lines(options.padding)
    results = {}
    for name in options.task[:1] if options.examples else options.task:
        runs = []
        with tempfile.TemporaryDirectory() as folder:
            full = build_bundle(shipped_recipe(name), home / f"dilution-{name}")
            for seed in range(options.seeds):
                bundle, at_risk, talk = _adapted(name, full, Path(folder), options.examples, padding, seed)
                runs.append(measure(bundle, at_risk[: options.texts], talk, options.lengths, seed))
                print(f"{name}, seed {seed}: {bundle.windowing}", flush=True)
        results[name] = runs
        _show(name, runs, options.lengths)
    if options.json:
        options.json.write_text(json.dumps(results, indent=1) + "\n")


def measure(
    bundle: Bundle, at_risk: Sequence[str], talk: Sequence[str], lengths: Sequence[int], seed: int
) -> dict[str, Row]:
    """Every figure by way and number of words, and how much slower "after" reads long and ordinary texts."""
    assert bundle.calibration is not None  # noqa: S101 - an adapted bundle has thresholds
    uncut = msgspec.structs.replace(bundle.calibration.fitted_on, windowing=UNCUT)
    whole = msgspec.structs.replace(bundle.calibration, fitted_on=uncut)
    engines = {
        "before": load_engine(msgspec.structs.replace(bundle, calibration=whole)),
        "after": load_engine(bundle),
    }
    thresholds = bundle.thresholds_for(engines["after"].identity)
    chance = random.Random(seed)
    rows: dict[str, Row] = {}
    seconds: dict[tuple[str, int], float] = {}
    for words in lengths:
        risky = [_long(talk, words, chance, text) for text in at_risk]
        harmless = [_long(talk, words, chance) for _ in at_risk]
        for way, engine in engines.items():
            began = time.perf_counter()
            found, alarmed = (_verdicts(engine, thresholds, texts) for texts in (risky, harmless))
            seconds[way, words] = time.perf_counter() - began
            figures = (found[0], found[1], alarmed[1], alarmed[0])
            rows[f"{way} {words}"] = dict(zip(FIGURES, figures, strict=True))
    for words in lengths:
        rows[f"after {words}"]["seconds_of_before"] = seconds["after", words] / seconds["before", words]
    return rows


def _verdicts(engine: Engine, thresholds: Thresholds, texts: Sequence[str]) -> tuple[float, float]:
    """The share that is not clear, and the share that is at_risk."""
    ruled = [verdict(scores.risk, thresholds) for scores in engine.read(texts)]
    return float(np.mean([each != "clear" for each in ruled])), float(
        np.mean([each == "at_risk" for each in ruled])
    )


def _long(talk: Sequence[str], words: int, chance: random.Random, text: str | None = None) -> str:
    """Put `text` at the start, in the middle or at the end of small talk; without it, small talk alone."""
    company: list[str] = [] if text is not None or words else [chance.choice(talk)]
    while sum(len(each.split()) for each in company) < words:
        company.append(chance.choice(talk))
    if text is not None:
        company.insert(chance.choice([0, len(company) // 2, len(company)]), text)
    return " ".join(company)


def _adapted(
    name: str, full: Bundle, folder: Path, files: list[Path] | None, padding: list[str], seed: int
) -> tuple[Bundle, list[str], list[str]]:
    """A bundle, with messages at risk and small talk that it has not seen."""
    task = load_task(name)
    chance = random.Random(seed)
    if not files:
        out = folder / "adapted"
        if not out.exists():
            adapt(full.path, read_examples(shipped_examples(task), task), out, lambda *_: None)
        held_out = read_examples(SHIPPED / f"{name}.heldout.jsonl", task)
        return Bundle.load(out), [example.text for example in held_out if example.at_risk], padding
    data = read_labelled(files)
    kinds = [
        [text for text, of in zip(data.texts, data.labels, strict=True) if of == label] for label in (0, 1)
    ]
    for texts in (*kinds, padding):
        chance.shuffle(texts)
    harmless = kinds[0] or padding[: LABELS // 2]
    examples = [
        LabelledExample(text, at_risk=label == 1)
        for label, texts in ((0, harmless), (1, kinds[1]))
        for text in texts[: LABELS // 2]
    ]
    out = folder / f"adapted-{seed}"
    adapt(full.path, examples, out, lambda *_: None)
    at_risk = kinds[1][LABELS // 2 :]
    return Bundle.load(out), at_risk, [text for text in padding if text not in harmless[: LABELS // 2]]


def _lines(path: Path) -> list[str]:
    lines = [line for line in path.read_text().splitlines() if line.strip()]
    return [str(json.loads(line)["text"]) for line in lines] if path.suffix == ".jsonl" else lines


def _show(name: str, runs: list[dict[str, Row]], lengths: Sequence[int]) -> None:
    print(f"\n| {name}: words | way | {' | '.join(FIGURES)} | time |\n|---|---|{'---|' * 5}")
    for words in lengths:
        for way in ("before", "after"):
            rows = [run[f"{way} {words}"] for run in runs]
            cells = [_median([row[figure] for row in rows]) for figure in FIGURES]
            ratio = _median([row.get("seconds_of_before", 1.0) for row in rows])
            print(f"| {words} | {way} | {' | '.join(cells)} | {ratio} |", flush=True)


def _median(values: list[float]) -> str:
    return f"{statistics.median(values):.2f} ({min(values):.2f}-{max(values):.2f})"


if __name__ == "__main__":
    main()
