"""Measures latency at a steady rate, from `produce` until a read-committed consumer has the label.

The sender and the reader are threads of this process, and take the same CPU time from every lane.
"""

import statistics
import threading
import time
from dataclasses import dataclass
from itertools import islice

import confluent_kafka as ck
import msgspec

from bench.yardstick import corpus
from bench.yardstick.fetched import records
from bench.yardstick.ride import LaneError, Lanes, started

_TICK_S = 0.005
_WARM_UP = 0.25  # the share of the messages that are sent first and not counted
_PATIENCE_S = 30.0


class _Label(msgspec.Struct):
    message_id: str


@dataclass(frozen=True)
class Latency:
    """Latencies in seconds; `pace` is the rate that was really sent, in messages a second."""

    pace: float
    p50: float
    p99: float
    messages: int


def latency(lanes: Lanes, name: str, topic: str, pace: float, seconds: float) -> Latency:
    """Send at `pace` for `seconds` while the lane `name` runs, and wait for every label. Raises LaneError."""
    job = lanes.job(topic)
    lanes.course.forget([topic])
    count = int(pace * seconds)
    messages = list(corpus.repeated(count))
    arrivals: dict[str, float] = {}
    stop = threading.Event()
    since = lanes.course.ends([job.labels])
    reader = threading.Thread(target=_read, args=(lanes.course.bootstrap, since, arrivals, stop))
    with started(name, job) as process:
        lanes.course.fill(topic, ((key, value) for key, value in _primer()))
        deadline = time.monotonic() + _PATIENCE_S
        while lanes.course.committed(job.group, topic) == 0:
            if process.poll() is not None or time.monotonic() > deadline:
                raise LaneError("it did not begin")
            time.sleep(0.05)
        reader.start()
        try:
            sent = _send(lanes.course.bootstrap, topic, messages, pace)
            deadline = time.monotonic() + _PATIENCE_S
            while len(arrivals) < count and time.monotonic() < deadline:
                time.sleep(0.05)
        finally:
            stop.set()
            reader.join()
    lanes.course.forget([job.labels])
    if len(arrivals) < count:
        raise LaneError(f"{count - len(arrivals)} of {count} labels did not come at {pace:.0f} a second")
    counted = list(islice(enumerate(sent), int(count * _WARM_UP), None))
    waits = [arrivals[f"m-{number}"] - then for number, then in counted]
    percentiles = statistics.quantiles(waits, n=100, method="inclusive")
    real = (len(counted) - 1) / (counted[-1][1] - counted[0][1])
    return Latency(real, percentiles[49], percentiles[98], len(counted))


def _primer() -> list[tuple[bytes, bytes | None]]:
    """The messages that a lane reads first; no counted message has their ids."""
    return [(key, value.replace(b'"m-', b'"w-') if value else None) for key, value in corpus.repeated(100)]


def _send(bootstrap: str, topic: str, messages: list[tuple[bytes, bytes | None]], pace: float) -> list[float]:
    """The time at which each message was handed to the client."""
    producer = ck.Producer(
        {"bootstrap.servers": bootstrap, "linger.ms": 1, "queue.buffering.max.messages": 1_000_000}
    )
    sent: list[float] = []
    began = time.time()
    while len(sent) < len(messages):
        due = min(len(messages), int((time.time() - began) * pace) + 1)
        for key, value in messages[len(sent) : due]:
            producer.produce(topic, value, key)
            sent.append(time.time())
        producer.poll(0)
        time.sleep(_TICK_S if pace > 1 / _TICK_S else 1 / pace)
    producer.flush(_PATIENCE_S)
    return sent


def _read(
    bootstrap: str, since: list[ck.TopicPartition], arrivals: dict[str, float], stop: threading.Event
) -> None:
    """Note when each label becomes visible."""
    reader = ck.Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": "reader",
            "isolation.level": "read_committed",
            "enable.auto.commit": False,
            "fetch.wait.max.ms": 5,
        }
    )
    reader.assign(since)
    decoder = msgspec.json.Decoder(_Label)
    while not stop.is_set():
        messages = reader.consume(1, 0.05) + reader.consume(5000, 0)
        now = time.time()
        for record in records(messages):
            name = decoder.decode(record.value).message_id
            if name.startswith("m-"):
                arrivals.setdefault(name, now)
    reader.close()
