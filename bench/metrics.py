"""What a worker's metrics cost: processor time a record, and a scrape.

    python -m bench.metrics [--records 500] [--batches 40] [--rounds 7]

The real outbox turns batches of labels into outcomes and counts them, in turns with the metrics on and off.
Kafka is left out: with it, the share of the metrics would be smaller. Median of the rounds, lowest, highest.
"""

import argparse
import time
from collections.abc import Callable, Sequence
from statistics import median
from typing import Any, Final

from prometheus_client import generate_latest

from engine.policy import Policy
from engine.scores import Scores
from engine.task import load_task
from mimamori.soak.canned_engine import CannedEngine
from schemas.events import Message, Thresholds
from tracing.spans import Tracer
from worker.kafka import Membership
from worker.kafka.record import Headers, Offsets, Outbound, Record
from worker.settings import Settings
from worker.stream.batch import Batch, Entry
from worker.stream.epochs import Epochs
from worker.stream.outbox import Outbox
from worker.stream.outcome import Outcomes
from worker.stream.pipeline import Pipeline
from worker.stream.routing import Routing
from worker.stream.traces import BatchTraces
from worker.telemetry.metrics import Metrics

RATES: Final = (100, 1_000, 10_000)  # messages a second of one worker: a CPU, and more than any GPU measured
SCRAPED_EVERY_S: Final = 15
TEXT: Final = "since the move I only speak to the cat, and I have stopped answering my sister"


class Muted(Metrics):
    """Counts nothing."""

    def count(self, *_: Any, **__: Any) -> None:
        """Do nothing."""

    def gauge(self, *_: Any) -> None:
        """Do nothing."""

    def observe_all(self, *_: Any) -> None:
        """Do nothing."""

    def screened(self, *_: Any) -> None:
        """Do nothing."""


class Nowhere:
    """A broker that takes all."""

    def membership(self) -> Membership:
        """See Consumer.membership."""
        return None

    def commit(self, _outbound: Sequence[Outbound], _offsets: Offsets, _membership: Membership) -> None:
        """See Producer.commit."""


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--records", type=int, default=500, help="records of a batch")
    parser.add_argument("--batches", type=int, default=40, help="batches of a round")
    parser.add_argument("--rounds", type=int, default=7)
    given = parser.parse_args()
    counted, muted = Metrics(), Muted()
    costs: list[float] = []
    for _ in range(given.rounds):
        on, off = (spent(each, given.records, given.batches) for each in (counted, muted))
        costs.append((on - off) * 1e6)
    scrapes = [scraped(counted) * 1e3 for _ in range(given.rounds)]
    cost, scrape = median(costs), median(scrapes)
    print(f"metrics, a record: {cost:.1f} µs ({min(costs):.1f}-{max(costs):.1f})")
    print(f"a scrape: {scrape:.1f} ms ({min(scrapes):.1f}-{max(scrapes):.1f})")
    for rate in RATES:
        share = cost * 1e-6 * rate + scrape * 1e-3 / SCRAPED_EVERY_S
        print(f"at {rate:,} messages a second, of one core: {share:.2%}")


def spent(metrics: Metrics, records: int, batches: int) -> float:
    """Processor seconds a record in the outbox."""
    epochs = Epochs()
    outbox = an_outbox(epochs, metrics, None)
    made = [a_batch(epochs, records) for _ in range(batches)]
    began = time.thread_time()
    for batch in made:
        outbox.commit(batch)
    return (time.thread_time() - began) / (records * batches)


def an_outbox(epochs: Epochs, metrics: Metrics, tracer: Tracer | None) -> Outbox:
    """The real outbox and its outcomes, for a broker that takes all."""
    policy = Policy(Thresholds(0.3, 0.7, "bench"), quality_sample_share=0.0)
    routing = Routing(Pipeline(load_task("stress"), CannedEngine(), policy, "0" * 64))
    outcomes, nowhere = Outcomes(Settings(), routing), Nowhere()
    traces = BatchTraces(tracer, "mimamori")
    return Outbox(outcomes, nowhere, nowhere, epochs, metrics, traces)  # type: ignore[arg-type]  # all it calls


def a_batch(epochs: Epochs, records: int, headers: Callable[[int], Headers] = lambda _: []) -> Batch:
    """Messages with their scores; one in ten is at risk. `headers` are those of the record at an offset."""
    epochs.open()
    now = int(time.time() * 1000)
    batch = Batch(epochs.epoch, time.monotonic())
    for offset in range(records):
        scores = Scores(0.9 if offset % 10 == 0 else 0.1, (0.2, 0.3, 0.5), 1, truncated=False)
        record = Record("messages", 0, offset, None, b"{}", now, headers(offset))
        batch.add(Entry(record, Message(f"m{offset}", TEXT), scores=scores), alone=False)
    return batch


def scraped(metrics: Metrics) -> float:
    """Processor seconds of a scrape."""
    began = time.thread_time()
    generate_latest(metrics.registry)
    return time.thread_time() - began


if __name__ == "__main__":
    main()
