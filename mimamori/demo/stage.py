"""The demo's parts: a real Kafka and Redis, a real worker process, sample conversations, and the results.

It acts as a small platform: it sends messages and reads labels, review cases and dead letters through topics,
as any platform would. It shows its own sample texts beside their labels; nothing else ever shows text.
"""

import socket
import threading
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec
from prometheus_client.parser import text_string_to_metric_families

import schemas
from engine.errors import FatalError
from mimamori import process
from mimamori.replay import message_key
from mimamori.sandbox import Sandbox
from schemas.events import DeadLetter, Event, Label, Message, ReviewCase
from schemas.reasons import DeadLetterReason
from worker.kafka.reader import Reader
from worker.kafka.record import Record
from worker.kafka.sender import Sender
from worker.stream.unread import priority_of
from worker.telemetry.names import EngineInfo

CONVERSATIONS = Path(__file__).with_name("conversations.jsonl")
# Records that a bug of a platform might send, by the reason that each one's dead letter gives.
MALFORMED: dict[DeadLetterReason, bytes] = {
    "invalid_json": b'{"id": "broken-1", "text": "cut off here',
    "invalid_utf8": b'{"id": "broken-2", "text": "\xff\xfe"}',
    "schema_mismatch": b'{"id": "broken-3", "words": "no text field"}',
    "empty_text": b'{"id": "broken-4", "text": "   "}',
}
READY_S = 120.0
END_S = 30.0
SILENCE_S = 60.0
ENGINE_INFO: EngineInfo = "mimamori_engine_info"


class Arrival(msgspec.Struct, frozen=True):
    """One event read back, and the seconds since its message was sent; None where that is not known."""

    event: Label | ReviewCase | DeadLetter
    seconds: float | None


class Feed:
    """Sends records, and remembers when each message was sent and what its text is."""

    def __init__(self, bootstrap: str, topic: str) -> None:
        self._bootstrap = bootstrap
        self._topic = topic
        self.sent_at: dict[str, float] = {}
        self.texts: dict[str, str] = {}
        self.sent = 0

    def run(self, records: Sequence[tuple[bytes, bytes, Message | None]], rate: float) -> None:
        """Send (value, key, message) triples at `rate` a second, 0 for at once; return when confirmed."""
        started = time.monotonic()
        with Sender({"bootstrap.servers": self._bootstrap}) as sender:
            for number, (value, key, message) in enumerate(records):
                if rate and (early := started + number / rate - time.monotonic()) > 0:
                    time.sleep(early)
                if message is not None:
                    self.texts[message.id] = message.text
                    self.sent_at[message.id] = time.monotonic()
                sender.send(self._topic, value, key)
                self.sent += 1


def sample_records(suffix: str = "") -> list[tuple[bytes, bytes, Message | None]]:
    """Return the sample conversations in order, with the malformed records spread evenly among them."""
    lines = CONVERSATIONS.read_bytes().splitlines()
    messages = [msgspec.json.decode(line, type=Message) for line in lines if line.strip()]
    messages = [msgspec.structs.replace(message, id=message.id + suffix) for message in messages]
    records: list[tuple[bytes, bytes, Message | None]] = [
        (schemas.encode(message), message_key(message), message) for message in messages
    ]
    step = len(records) // (len(MALFORMED) + 1)
    for number, value in enumerate(MALFORMED.values(), start=1):
        records.insert(number * step, (value, b"broken", None))
    return records


def arrivals(reader: Reader, feed: Feed, prefix: str, expected: int) -> Iterator[Arrival]:
    """Yield events until `expected` records have their outcome and all of their review cases have arrived.

    Raises FatalError: nothing came for SILENCE_S.
    """
    names = schemas.topic_names(prefix)
    outcomes, due, heard = 0, 0, time.monotonic()  # due: announced cases still to come
    while outcomes < expected or due:
        records = reader.poll()
        now = time.monotonic()
        if records:
            heard = now
        elif now - heard > SILENCE_S:
            raise FatalError(
                f"{expected - outcomes} of {expected} outcomes did not come: see the worker's log"
            )
        for record in records:
            event = _decode(record, names)
            outcomes += not isinstance(event, ReviewCase)
            if isinstance(event, Label):
                due += event.verdict != "clear" or "quality_sample" in event.reasons
            elif isinstance(event, DeadLetter):
                due += priority_of(event.reason) is not None
            due -= isinstance(event, ReviewCase)
            sent = None if isinstance(event, DeadLetter) else feed.sent_at.get(event.message_id)
            yield Arrival(event, None if sent is None else now - sent)


def _decode(record: Record, names: dict[type[Event], str]) -> Label | ReviewCase | DeadLetter:
    value = record.value or b""
    if record.topic == names[Label]:
        return schemas.decode(Label, value)
    if record.topic == names[ReviewCase]:
        return schemas.decode(ReviewCase, value)
    return schemas.decode(DeadLetter, value)


@contextmanager
def worker_process(sandbox: Sandbox, prefix: str, bundle: Path, log: Path) -> Iterator[str]:
    """Run `mimamori run` as a separate process on the sandbox until the block ends.

    Yields the address of its /metrics. Raises FatalError: it does not become ready.
    """
    port = _free_port()
    settings: dict[str, object] = {
        "bootstrap": sandbox.bootstrap,
        "bundle": bundle,
        "group": f"{prefix}demo",
        "topic_prefix": prefix,
        "health_port": port,
    }
    if sandbox.redis_url:
        settings |= {"redis_url": sandbox.redis_url, "cache_secret": "only for the demo"}
    log.unlink(missing_ok=True)
    worker = process.start(process.WORKER, settings, log)
    try:
        process.await_ready(worker, port, log, READY_S)
        yield f"http://127.0.0.1:{port}/metrics"
    finally:
        process.end(worker, END_S)


def what_runs(metrics_url: str) -> str:
    """Return what a worker runs on, as its /metrics says. Look here first when a worker is slow."""
    with urllib.request.urlopen(metrics_url, timeout=END_S) as page:  # noqa: S310 - our own worker's address
        families = text_string_to_metric_families(page.read().decode())
        samples = [one for family in families for one in family.samples if one.name == ENGINE_INFO]
    for sample in samples:
        if engine := sample.labels.get("engine"):
            return engine
    raise FatalError(f"{metrics_url} does not say what runs ({ENGINE_INFO}): another program listens there")


def sending(
    feed: Feed, records: Sequence[tuple[bytes, bytes, Message | None]], rate: float
) -> threading.Thread:
    """Send in the background, on a daemon thread, so that an interrupted demo can end."""
    thread = threading.Thread(target=feed.run, args=(records, rate), daemon=True)
    thread.start()
    return thread


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
