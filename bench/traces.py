"""What a worker's metrics and traces cost together: processor time of one core, at rates that workers reach.

    python -m bench.traces [--seconds 5] [--rounds 5] [--rates 100,1000,10000] [--batches 20]

The real outbox turns batches of labels into outcomes, as they come at each rate: with nothing, with metrics,
and with metrics and traces, in turns. Metrics are all that is counted of a batch, by the intake too, with the
drift of a bundle that expects something. Traces are headers, which are read, checked and written, and spans,
which are made, encoded and sent to a small collector in a process of its own. Of the messages, none, one in a
hundred or all are sampled by their producer; the worker makes spans for MIMAMORI_TRACES_AT_MOST of them a
second. Kafka's client is left out, but what a header more costs it is measured first, and added
(`yardstick/header_cost.py`); the model is left out too, as its cost is the same in each. Processor time is
that of the whole process, the thread that sends included. Median of the rounds, lowest and highest.
"""

import argparse
import multiprocessing
import time
from contextlib import suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, HTTPServer
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median
from typing import Any, Final, cast

import msgspec

import schemas
from bench.metrics import SCRAPED_EVERY_S, Counting, Muted, a_batch, scraped
from bench.yardstick.header_cost import header_cost, traceparent
from schemas.events import Label
from tracing.sending import OtlpTracer
from worker.kafka.record import Headers
from worker.settings import Settings
from worker.startup import open_spans, settle_memory
from worker.stream.epochs import Epochs
from worker.telemetry.metrics import Metrics

LABEL: Final = Path(schemas.__file__).parent / "examples" / "label.json"
PRODUCERS: Final = {"no trace": 0, "a trace, 1 in 100 sampled": 100, "a trace, all sampled": 1}


class Collector(BaseHTTPRequestHandler):
    """Takes everything."""

    def do_POST(self) -> None:
        """Read, and say yes."""
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


def collect(tell: Connection) -> None:
    """Serve until the process is ended; tells its port."""
    server = HTTPServer(("127.0.0.1", 0), Collector)
    tell.send(server.server_address[1])
    with suppress(KeyboardInterrupt):
        server.serve_forever()


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=5, help="length of a round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--batches", type=int, default=20, help="a second: 20 by max_wait_ms; fewer where they are full"
    )
    parser.add_argument("--rates", default="100,1000,10000", help="messages a second of one worker")
    given = parser.parse_args()
    settle_memory()  # as a worker does
    here, there = multiprocessing.Pipe()
    collector = multiprocessing.get_context("spawn").Process(target=collect, args=(there,), daemon=True)
    collector.start()
    settings = Settings(traces_endpoint=f"http://127.0.0.1:{here.recv()}")
    payload = msgspec.json.decode(LABEL.read_bytes())[0]["payload"]
    label = schemas.decode(Label, msgspec.json.encode(payload))
    header = header_cost(schemas.event_headers(label))
    print(f"a header costs Kafka's client {1e6 * header:.2f} µs a message, read and written")
    print(f"of one core, over what the outbox needs without; {given.rounds} rounds of {given.seconds:g} s")
    for rate in map(int, given.rates.split(",")):
        for said, every in PRODUCERS.items():
            pace = Pace(rate, given.batches, given.seconds)
            measured(settings, pace, said, every, given.rounds, header if every else 0.0)
    collector.terminate()


@dataclass(frozen=True)
class Pace:
    """Messages and batches a second, and for how long."""

    rate: int
    batches: int
    seconds: float


def measured(settings: Settings, pace: Pace, said: str, every: int, rounds: int, header: float) -> None:
    """Print one line. `header`: seconds of Kafka's client a message."""
    metrics_alone: list[float] = []
    both: list[float] = []
    nothing, counted, traced = Counting(Muted()), Counting(Metrics()), Counting(Metrics())
    tracer = cast("OtlpTracer", open_spans(settings, traced.metrics))
    spent(traced, tracer, pace, every)  # the first request of a process costs more than all that follow
    before = sent(traced.metrics)
    for _ in range(rounds):
        without = spent(nothing, None, pace, 0)
        with_metrics = spent(counted, None, pace, 0)
        with_both = spent(traced, tracer, pace, every) + header * pace.rate
        scrapes = scraped(traced.metrics) / SCRAPED_EVERY_S
        metrics_alone.append(with_metrics - without + scrapes)
        both.append(with_both - without + scrapes)
    spans = (sent(traced.metrics) - before) / pace.seconds / rounds
    tracer.close(30)
    print(
        f"{pace.rate:>6,} a second, {said:<26}  metrics {share(metrics_alone)}  "
        f"and traces {share(both)}  {spans:,.0f} spans a second",
        flush=True,
    )


def spent(counting: Counting, tracer: OtlpTracer | None, pace: Pace, every: int) -> float:
    """Processor seconds a second."""
    epochs = Epochs()
    outbox = counting.outbox(epochs, tracer)
    records = pace.rate // pace.batches
    if tracer is not None:
        tracer.admits(pace.rate)  # what was saved up for spans in the other turns would count as this one's
    began, worked, making = time.monotonic(), time.process_time(), 0.0
    for number in range(int(pace.seconds * pace.batches)):
        # Each has headers of its own, as those of a real message are not known from the one before. What it
        # takes to make them does not count.
        made = time.thread_time()
        batch = a_batch(epochs, records, traced(every, number * records, records))
        making += time.thread_time() - made
        if tracer is not None:
            for entry in batch.entries:  # as `Reception.entry`
                if entry.record.headers:
                    entry.cause = schemas.trace_headers(entry.record.headers)
        counting.polled(batch.entries)
        batch.screened = time.monotonic(), time.monotonic()
        outbox.commit(batch)
        time.sleep(max(0.0, began + (number + 1) / pace.batches - time.monotonic()))
    if tracer is not None:
        tracer.flush()
    return (time.process_time() - worked - making) / pace.seconds


def sent(metrics: Metrics) -> float:
    """How many spans the collector has taken."""
    return metrics.registry.get_sample_value("mimamori_spans_total", {"outcome": "sent"}) or 0


def traced(every: int, first: int, records: int) -> list[Headers]:
    """Headers as a producer writes them: one in `every` is sampled, or 0: there are none."""
    if not every:
        return []
    return [[traceparent(at, sampled=at % every == 0)] for at in range(first, first + records)]


def share(costs: list[float]) -> str:
    """The median, lowest and highest."""
    return f"{median(costs):6.2%} ({min(costs):.2%}-{max(costs):.2%})"


if __name__ == "__main__":
    main()
