"""What a label costs a worker in each form: plain JSON, framed JSON and framed Avro, in turns in one run.

    python -m bench.framed_labels [--labels 5000] [--rounds 15]

The worker's own outcomes (worker/stream/outcome.py) turn screened entries into records, as in its outbox:
policy, ids, headers, encoding; every label has a severity. It is measured in processor time of one core, once
with the encoding of the label alone and once with all that surrounds it. Median of the rounds, lowest and
highest, and the median of each round's difference to plain JSON, in microseconds a label.
"""

import argparse
import random
import time
from collections.abc import Callable, Sequence
from statistics import median
from typing import Final

import schemas
from engine.policy import Policy
from engine.scores import Scores
from engine.task import load_task
from mimamori.soak.canned_engine import CannedEngine
from schemas.events import Label, Message, Thresholds
from worker.cache.score_cache import NoCache
from worker.kafka.record import Record
from worker.registry.label_writing import FramedLabels
from worker.settings import Settings
from worker.stream.batch import Entry
from worker.stream.outcome import Outcomes
from worker.stream.pipeline import Pipeline
from worker.stream.routing import Routing

FORMS: Final[dict[str, FramedLabels | None]] = {
    "plain JSON": None,
    "framed JSON": FramedLabels("json", 7),
    "framed Avro": FramedLabels("avro", 7),
}
MICRO: Final = 1e6


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--labels", type=int, default=5000)
    parser.add_argument("--rounds", type=int, default=15)
    chosen = parser.parse_args()
    routing, entries = stage(chosen.labels)
    makers = {name: Outcomes(Settings(), routing, framed=framed) for name, framed in FORMS.items()}
    labels = [event for event, _ in makers["plain JSON"].of(entries) if isinstance(event, Label)]
    encode: dict[str, Callable[[Label], bytes]] = {
        name: schemas.encode if framed is None else framed.encode for name, framed in FORMS.items()
    }
    alone: dict[str, list[float]] = {name: [] for name in FORMS}
    whole: dict[str, list[float]] = {name: [] for name in FORMS}
    order = list(FORMS)
    for _ in range(chosen.rounds):
        random.shuffle(order)
        for name in order:
            alone[name].append(cost(lambda name=name: [encode[name](each) for each in labels], len(labels)))  # type: ignore[misc] # bound at once
            whole[name].append(cost(lambda name=name: list(makers[name].of(entries)), len(labels)))  # type: ignore[misc]
    print("| label | bytes | encoding alone, µs | whole outcome, µs | more than plain JSON, µs |")
    print("|---|---|---|---|---|")
    for name in FORMS:
        size = median(len(encode[name](each)) for each in labels)
        more = median(ours - base for ours, base in zip(whole[name], whole["plain JSON"], strict=True))
        print(f"| {name} | {size:.0f} | {shown(alone[name])} | {shown(whole[name])} | {more:.1f} |")


def stage(number: int) -> tuple[Routing, list[Entry]]:
    """A worker's routing, and screened entries: all clear, so that no review case is measured along."""
    task, draw = load_task("stress"), random.Random(7)
    engine = CannedEngine(levels=len(task.level_names))
    policy = Policy(Thresholds(0.9, 0.95, "bench"), 0.0)
    pipeline = Pipeline(task, engine, policy, "f" * 64, NoCache())
    entries = [
        Entry(
            Record("mimamori.messages", n % 12, n, f"c{n % 977}".encode(), b""),
            message=Message(f"m{n:08}", "see you on sunday by the river"),
            pipeline=pipeline,
            scores=Scores(draw.random() * 0.8, (0.5, 0.3, 0.2), 1, truncated=False, depth=16),
        )
        for n in range(number)
    ]
    return Routing(pipeline), entries


def cost(work: Callable[[], object], labels: int) -> float:
    """Microseconds of processor time a label."""
    began = time.process_time()
    work()
    return (time.process_time() - began) / labels * MICRO


def shown(found: Sequence[float]) -> str:
    """The median, and the range."""
    return f"{median(found):.1f} ({min(found):.1f}-{max(found):.1f})"


if __name__ == "__main__":
    main()
