"""What a worker's metrics cost: processor time a record, and a scrape.

    python -m bench.metrics [--records 500] [--batches 40] [--rounds 7]

What a worker counts of a batch, where it is polled and once it is committed, in turns with nothing at all.
Median of the rounds, lowest, highest. `bench.traces` measures both together at the pace of a stream.
"""

import argparse
import time
from collections.abc import Sequence
from statistics import median
from typing import Any, Final

from prometheus_client import generate_latest

from engine.drift import Noted, expect
from engine.policy import Policy
from engine.scores import Scores
from engine.task import load_task
from mimamori.soak.canned_engine import CannedEngine
from schemas.events import Message, Thresholds
from tracing.spans import Tracer
from worker.kafka import Membership
from worker.kafka.record import Headers, Offsets, Outbound, Record
from worker.settings import Settings
from worker.stream.backlog import Backlog
from worker.stream.batch import Batch, Entry
from worker.stream.epochs import Epochs
from worker.stream.outbox import Outbox
from worker.stream.outcome import Outcomes
from worker.stream.pace import Pace
from worker.stream.pipeline import Pipeline
from worker.stream.routing import Routing
from worker.stream.traces import BatchTraces
from worker.telemetry.metrics import Metrics

RATES: Final = (100, 1_000, 10_000)  # messages a second of one worker: a CPU, and more than any GPU measured
SCRAPED_EVERY_S: Final = 15
TEXT: Final = "since the move I only speak to the cat, and I have stopped answering my sister"
TOKENS: Final = 20
BUNDLE: Final = "0" * 64


class Muted(Metrics):
    """Counts nothing."""

    def count(self, *_: Any, **__: Any) -> None:
        """Do nothing."""

    def gauge(self, *_: Any) -> None:
        """Do nothing."""

    def observe(self, *_: Any, **__: Any) -> None:
        """Do nothing."""

    def observe_all(self, *_: Any) -> None:
        """Do nothing."""


class Nowhere:
    """A broker that takes all."""

    def membership(self) -> Membership:
        """See Consumer.membership."""
        return None

    def commit(self, _outbound: Sequence[Outbound], _offsets: Offsets, _membership: Membership) -> None:
        """See Producer.commit."""


class Counting:
    """What a worker counts of a batch: all of it, or nothing, not even what is to be counted."""

    def __init__(self, metrics: Metrics) -> None:
        """Nothing is counted where `metrics` are muted."""
        self.metrics = metrics
        self._counts = not isinstance(metrics, Muted)
        self._backlog = Backlog(Pace())
        if self._counts:  # a bundle that was adapted with traffic says what its messages look like
            like = [Noted(at / 1000, 1 + at % 3, at % 50 == 0, False, False, at) for at in range(1000)]
            metrics.expect("stress", BUNDLE, expect(like), Settings().drift_window)

    def outbox(self, epochs: Epochs, tracer: Tracer | None) -> Outbox:
        """The real outbox and its outcomes, for a broker that takes all."""
        policy = Policy(Thresholds(0.3, 0.7, "bench"), quality_sample_share=0.0)
        routing = Routing(Pipeline(load_task("stress"), CannedEngine(), policy, BUNDLE))
        outcomes, nowhere = Outcomes(Settings(), routing), Nowhere()
        traces = BatchTraces(tracer, "mimamori")
        kind = Outbox if self._counts else Uncounted
        return kind(outcomes, nowhere, nowhere, epochs, self.metrics, traces)  # type: ignore[arg-type]  # all it calls

    def polled(self, entries: Sequence[Entry]) -> None:
        """What the intake and the stations' threads count of a batch: see `Intake._take_in` and `App`."""
        if not self._counts:
            return
        metrics = self.metrics
        metrics.count("mimamori_records_total", len(entries))
        metrics.gauge("mimamori_records_without_schema", 0)
        lost = sum(e.lost_its_trace for e in entries if not e.cause and e.record.headers != [])
        metrics.count("mimamori_unreadable_headers_total", lost)
        self._backlog.read(entries)
        metrics.gauge("mimamori_in_flight_batches", 1)
        metrics.observe_all("mimamori_batch_records", [len(entries)])
        metrics.observe("mimamori_station_seconds", 0.05, station="screener")
        metrics.observe("mimamori_station_seconds", 0.01, station="outbox")


class Uncounted(Outbox):
    """Counts nothing of what it commits."""

    def _count(self, *_: Any) -> None:
        pass


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--records", type=int, default=500, help="records of a batch")
    parser.add_argument("--batches", type=int, default=40, help="batches of a round")
    parser.add_argument("--rounds", type=int, default=7)
    given = parser.parse_args()
    counted, muted = Counting(Metrics()), Counting(Muted())
    costs: list[float] = []
    for _ in range(given.rounds):
        on, off = (spent(each, given.records, given.batches) for each in (counted, muted))
        costs.append((on - off) * 1e6)
    scrapes = [scraped(counted.metrics) * 1e3 for _ in range(given.rounds)]
    cost, scrape = median(costs), median(scrapes)
    print(f"metrics, a record: {cost:.2f} µs ({min(costs):.2f}-{max(costs):.2f})")
    print(f"a scrape: {scrape:.1f} ms ({min(scrapes):.1f}-{max(scrapes):.1f})")
    for rate in RATES:
        share = cost * 1e-6 * rate + scrape * 1e-3 / SCRAPED_EVERY_S
        print(f"at {rate:,} messages a second, of one core: {share:.2%}")


def spent(counting: Counting, records: int, batches: int) -> float:
    """Processor seconds a record."""
    epochs = Epochs()
    outbox = counting.outbox(epochs, None)
    made = [a_batch(epochs, records) for _ in range(batches)]
    began = time.thread_time()
    for batch in made:
        counting.polled(batch.entries)
        outbox.commit(batch)
    return (time.thread_time() - began) / (records * batches)


def a_batch(epochs: Epochs, records: int, headers: Sequence[Headers] = ()) -> Batch:
    """Messages with their scores; one in ten is at risk. `headers` are those of each, or there are none."""
    epochs.open()
    now = int(time.time() * 1000)
    batch = Batch(epochs.epoch, time.monotonic())
    for offset in range(records):
        scores = Scores(0.9 if offset % 10 == 0 else 0.1, (0.2, 0.3, 0.5), 1, truncated=False)
        own = headers[offset] if headers else []
        record = Record("messages", offset * 4 // records, offset, None, b"{}", now, own)
        batch.add(Entry(record, Message(f"m{offset}", TEXT), scores=scores, tokens=TOKENS), alone=False)
    return batch


def scraped(metrics: Metrics) -> float:
    """Processor seconds of a scrape."""
    began = time.thread_time()
    generate_latest(metrics.registry)
    return time.thread_time() - began


if __name__ == "__main__":
    main()
