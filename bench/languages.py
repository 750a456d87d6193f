"""What telling the languages of many texts at once saves, against asking py3langid about each.

    python -m bench.languages [--texts 1024] [--rounds 7]

Processor time of the process, in turns within each round, after one that does not count. Texts are the
shipped examples and held-out messages, and sentences in other languages, over and over in one shuffled order;
both ways must name the same languages. Median of the rounds, lowest, highest.
"""

import argparse
import json
import random
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from statistics import median
from typing import Final

from py3langid.langid import MODEL_FILE, LanguageIdentifier

from engine.language_model import language_model

ROOT: Final = Path(__file__).parents[1]
AT_ONCE: Final = (1, 16, 64, 256, 1024)


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--texts", type=int, default=1024)
    parser.add_argument("--rounds", type=int, default=7)
    given = parser.parse_args()
    texts = some_texts(given.texts)
    alone = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    if together(texts) != [alone.classify(text)[0] for text in texts]:
        raise SystemExit("the two ways name different languages: no figure of theirs means anything")
    print(f"{len(texts)} texts of {sum(map(len, texts)) / len(texts):.0f} characters\n")
    print("| texts at once | µs a text | of py3langid's, one at a time |\n|---|---|---|")
    for count in AT_ONCE:
        groups = [texts[start : start + count] for start in range(0, len(texts), count)]
        costs, ratios = [], []
        for number in range(given.rounds + 1):
            one = spent(lambda: [alone.classify(text) for text in texts])
            many = spent(partial(list, map(language_model().shares, groups)))
            if number:
                costs.append(many / len(texts) * 1e6)
                ratios.append(many / one)
        print(f"| {count} | {_of(costs, '.1f')} | {_of(ratios, '.2f')} |")


def together(texts: Sequence[str]) -> list[str]:
    """The likeliest language of each text, asked about together."""
    model = language_model()
    return [model.labels[column] for column in model.shares(texts).argmax(axis=1)]


def some_texts(count: int) -> list[str]:
    """Messages in English, and every fifth in another language."""
    ours = [
        json.loads(line)["text"]
        for path in sorted((ROOT / "engine" / "tasks").glob("*.jsonl"))
        for line in path.read_text().splitlines()
    ]
    foreign = [
        text for texts in json.loads((ROOT / "bench" / "foreign.json").read_text()).values() for text in texts
    ]
    drawn = random.Random(7)
    return [drawn.choice(foreign if number % 5 == 0 else ours) for number in range(count)]


def spent(work: Callable[[], object]) -> float:
    """Processor seconds."""
    began = time.process_time()
    work()
    return time.process_time() - began


def _of(values: Sequence[float], form: str) -> str:
    return f"{median(values):{form}} ({min(values):{form}}-{max(values):{form}})"


if __name__ == "__main__":
    main()
