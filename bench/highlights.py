"""What highlights cost, and whether they are where the score comes from.

    python -m bench.highlights FILE … [--bundle DIR] [--share 0.1] [--most 1000] [--seed 1] [--json out.json]

Cost: an engine that looks for highlights in the riskiest `share` of the messages, against one that looks for
none, in turns over the same messages. The figures are the ratios of their times, by the clock and by the
processor (all threads; what else runs on the machine matters less): median of the rounds, lowest, highest.

Faithfulness, over messages with highlights: by how much the log-odds of the risk fall when the highlighted
spans are taken out; and when random spans of as many words each are. Of the first `occluded` of them also:
when as many single words are whose removal lowers the risk most (occlusion: a reading per word), and the
fall by highlights on these same messages. "agreement" is Spearman's
correlation of words' contributions with what their removal changes, within a message.
"""

import argparse
import json
import os
import random
import re
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import mean, median

import numpy as np

from engine.bundle import Bundle
from engine.contract import Engine
from engine.load import load_engine
from engine.reading.engines import logit
from export.adapting.shipped import shipped_bundle
from export.rate import BATCH
from schemas.events import Highlight

WORD = re.compile(r"\S+")
FEWEST_WORDS = 6  # of a message, so that something is left when spans are taken out
DRAWS = 5
HIGHEST = 1 - 1e-6  # risks are limited to this, so that log-odds are finite

Place = tuple[int, int]


def main() -> None:
    """Measure, print, and write the results."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("texts", type=Path, nargs="+", help="JSONL with text")
    parser.add_argument("--bundle", type=Path, help="an adapted bundle; default: the shipped task stress")
    parser.add_argument("--share", type=float, default=0.1, help="of the messages that get highlights")
    parser.add_argument("--most", type=int, default=1000, help="messages read in a round")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--occluded", type=int, default=100, help="messages that are read once per word")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    home = Path(os.environ.get("MIMAMORI_HOME", "~/.cache/mimamori")).expanduser() / "bundles"
    bundle = Bundle.load(options.bundle or shipped_bundle("stress", home, lambda *_: None))
    chance = random.Random(options.seed)
    texts = [json.loads(line)["text"] for path in options.texts for line in path.read_text().splitlines()]
    texts = chance.sample(texts, min(len(texts), options.most))

    plain = load_engine(bundle, threads=options.threads)
    risks = [scores.risk for scores in plain.read(texts)]
    least = float(np.quantile(risks, 1 - options.share))
    highlighting = load_engine(bundle, threads=options.threads, highlights_from=least)
    results = {
        "runs": plain.describe(),
        "layer": bundle.manifest.layer,
        "messages": len(texts),
        "highlighted": sum(risk >= least for risk in risks),
        "cost": cost(plain, highlighting, texts, options.rounds),
        "faithful": faithful(highlighting, texts, options.occluded, chance),
    }
    print(json.dumps(results, indent=1))
    if options.json:
        options.json.write_text(json.dumps(results, indent=1) + "\n")


def cost(plain: Engine, highlighting: Engine, texts: Sequence[str], rounds: int) -> dict[str, list[float]]:
    """The time with highlights over the time without: median, lowest, highest."""
    clocks = {"by the clock": time.perf_counter, "by the processor": time.process_time}
    ratios: dict[str, list[float]] = {name: [] for name in clocks}
    for number in range(rounds + 1):
        took: dict[tuple[str, bool], float] = {}
        for engine in (plain, highlighting) if number % 2 else (highlighting, plain):
            began = {name: clock() for name, clock in clocks.items()}
            for start in range(0, len(texts), BATCH):
                engine.read(texts[start : start + BATCH])
            took |= {(name, engine is plain): clock() - began[name] for name, clock in clocks.items()}
        for name, found in ratios.items():
            found.append(took[name, False] / took[name, True])
    # the first round warms up
    return {name: [median(found[1:]), min(found[1:]), max(found[1:])] for name, found in ratios.items()}


def faithful(
    engine: Engine, texts: Sequence[str], occluded: int, chance: random.Random
) -> dict[str, float | int]:
    """How far the log-odds fall when spans are taken out; see the module's docstring."""
    found = [
        (text, scores.highlights, _log_odds(scores.risk))
        for text, scores in zip(texts, engine.read(texts), strict=True)
        if scores.highlights and len(WORD.findall(text)) >= FEWEST_WORDS
    ]
    falls: dict[str, list[float]] = {"highlighted": [], "random": [], "occlusion": [], "beside it": []}
    agreement, covered, better = [], [], []
    for index, (text, highlights, before) in enumerate(found):
        words = [match.span() for match in WORD.finditer(text)]
        marked = [_words_in(words, each) for each in highlights]
        count = sum(map(len, marked))
        covered.append(count / len(words))
        if count == len(words):
            continue
        drawn = [_drawn(len(words), [len(each) for each in marked], chance) for _ in range(DRAWS)]
        ways = [_without(text, words, {place for each in marked for place in each})]
        ways += [_without(text, words, each) for each in drawn]
        single = [_without(text, words, {place}) for place in range(len(words))] if index < occluded else []
        after = [_log_odds(scores.risk) for scores in engine.read([*ways, *single])]
        falls["highlighted"].append(before - after[0])
        falls["random"].append(mean(before - value for value in after[1 : 1 + DRAWS]))
        better.append(falls["highlighted"][-1] > falls["random"][-1])
        if single:
            effects = np.array([before - value for value in after[1 + DRAWS :]])
            worst = set(np.argsort(-effects)[:count].tolist())
            (removed,) = engine.read([_without(text, words, worst)])
            falls["occlusion"].append(before - _log_odds(removed.risk))
            falls["beside it"].append(falls["highlighted"][-1])
            shares = np.zeros(len(words))
            for each, places in zip(highlights, marked, strict=True):
                shares[places] = each.weight / len(places)
            if np.ptp(shares) and np.ptp(effects):
                agreement.append(float(np.corrcoef(_ranks(shares), _ranks(effects))[0, 1]))
    return {
        "messages": len(falls["highlighted"]),
        **{f"fall, {name}": mean(values) for name, values in falls.items() if values},
        "more than random": mean(better),
        "covered": mean(covered),
        **({"agreement": median(agreement)} if agreement else {}),
    }


def _words_in(words: Sequence[Place], highlight: Highlight) -> list[int]:
    return [i for i, (start, stop) in enumerate(words) if start < highlight.end and highlight.start < stop]


def _drawn(words: int, lengths: Sequence[int], chance: random.Random) -> set[int]:
    """Places of random spans of these lengths that do not overlap: each gap between them is as likely."""
    order = chance.sample(list(lengths), len(lengths))
    free = words - sum(order)
    starts = sorted(chance.randint(0, free) for _ in order)
    taken: set[int] = set()
    shift = 0
    for start, length in zip(starts, order, strict=True):
        taken |= set(range(start + shift, start + shift + length))
        shift += length
    return taken


def _without(text: str, words: Sequence[Place], gone: set[int]) -> str:
    return " ".join(text[start:stop] for i, (start, stop) in enumerate(words) if i not in gone)


def _log_odds(risk: float) -> float:
    return logit(min(max(risk, 1 - HIGHEST), HIGHEST))


def _ranks(values: np.ndarray) -> np.ndarray:
    """Ranks of values; equal ones share the mean of theirs."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2)[inverse]


if __name__ == "__main__":
    main()
