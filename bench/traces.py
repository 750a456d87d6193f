"""What a worker's metrics and traces cost together: processor time of one core, at rates that workers reach.

    python -m bench.traces [--seconds 5] [--rounds 5] [--rates 100,1000,10000] [--batches 20]

The real outbox turns batches of labels into outcomes, as they come at each rate: with nothing, with metrics,
and with metrics and traces, in turns. Traces are all of it: headers are read, checked and written, spans are
made, encoded and sent to a small collector in a process of its own. Of the messages, none, one in a hundred
or all are sampled by their producer; the worker makes spans for MIMAMORI_TRACES_AT_MOST of them a second.
Kafka and the model are left out: their cost is the same in each. Processor time is that of the whole process,
the thread that sends included. Median of the rounds, lowest and highest.
"""

import argparse
import multiprocessing
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, HTTPServer
from multiprocessing.connection import Connection
from statistics import median
from typing import Any, Final, cast

import schemas
from bench.metrics import SCRAPED_EVERY_S, Muted, a_batch, an_outbox, scraped
from tracing.sending import OtlpTracer
from worker.kafka.record import Headers
from worker.settings import Settings
from worker.startup import open_spans, settle_memory
from worker.stream.epochs import Epochs
from worker.telemetry.metrics import Metrics

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
    print(f"of one core, over what the outbox needs without; {given.rounds} rounds of {given.seconds:g} s")
    for rate in map(int, given.rates.split(",")):
        for said, every in PRODUCERS.items():
            measured(settings, Pace(rate, given.batches, given.seconds), said, every, given.rounds)
    collector.terminate()


@dataclass(frozen=True)
class Pace:
    """Messages and batches a second, and for how long."""

    rate: int
    batches: int
    seconds: float


def measured(settings: Settings, pace: Pace, said: str, every: int, rounds: int) -> None:
    """Print one line."""
    metrics_alone: list[float] = []
    both: list[float] = []
    headers = traced(every, pace.rate // pace.batches)
    counted, tracing = Metrics(), Metrics()
    tracer = cast("OtlpTracer", open_spans(settings, tracing))
    spent(tracing, tracer, pace, headers)  # the first request of a process costs more than all that follow
    before = sent(tracing)
    for _ in range(rounds):
        nothing = spent(Muted(), None, pace, headers)
        with_metrics = spent(counted, None, pace, headers)
        with_both = spent(tracing, tracer, pace, headers)
        scrapes = scraped(tracing) / SCRAPED_EVERY_S
        metrics_alone.append(with_metrics - nothing + scrapes)
        both.append(with_both - nothing + scrapes)
    spans = (sent(tracing) - before) / pace.seconds / rounds
    tracer.close(30)
    print(
        f"{pace.rate:>6,} a second, {said:<26}  metrics {share(metrics_alone)}  "
        f"and traces {share(both)}  {spans:,.0f} spans a second"
    )


def spent(
    metrics: Metrics, tracer: OtlpTracer | None, pace: Pace, headers: Callable[[int], Headers]
) -> float:
    """Processor seconds a second."""
    epochs = Epochs()
    outbox = an_outbox(epochs, metrics, tracer)
    records = pace.rate // pace.batches
    began, worked = time.monotonic(), time.process_time()
    for number in range(int(pace.seconds * pace.batches)):
        batch = a_batch(epochs, records, headers)
        if tracer is not None:  # as the intake does
            for entry in batch.entries:
                if entry.record.headers:
                    entry.cause = schemas.trace_headers(entry.record.headers)
        batch.screened = time.monotonic(), time.monotonic()
        outbox.commit(batch)
        time.sleep(max(0.0, began + (number + 1) / pace.batches - time.monotonic()))
    if tracer is not None:
        tracer.flush()
    return (time.process_time() - worked) / pace.seconds


def sent(metrics: Metrics) -> float:
    """How many spans the collector has taken."""
    return metrics.registry.get_sample_value("mimamori_spans_total", {"outcome": "sent"}) or 0


def traced(every: int, records: int) -> Callable[[int], Headers]:
    """Headers as a producer writes them: one in `every` is sampled, or 0: there are none."""
    made: list[Headers] = [
        [("traceparent", f"00-{1 + offset:032x}-{1 + offset:016x}-0{int(offset % every == 0)}".encode())]
        if every
        else []
        for offset in range(records)
    ]
    return made.__getitem__


def share(costs: list[float]) -> str:
    """The median, lowest and highest."""
    return f"{median(costs):6.2%} ({min(costs):.2%}-{max(costs):.2%})"


if __name__ == "__main__":
    main()
