"""A worker's spans on the in-memory broker and a small real collector: what they join, and what they hide."""

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

import schemas
from schemas.events import DeadLetter, Label, Message, ReviewCase
from tests.fakes.collector import Collector, collecting
from tests.fakes.memory_broker import MemoryBroker, MemoryConsumer, MemoryProducer
from tests.fakes.worker_app import build_app, running, settings, wait_for
from tracing.spans import Tracer
from worker.settings import Settings
from worker.startup import open_spans
from worker.telemetry.metrics import Metrics

NAMES = schemas.topic_names()
MESSAGES, LABELS, CASES, DEAD = NAMES[Message], NAMES[Label], NAMES[ReviewCase], NAMES[DeadLetter]
TEXT = "since the move I only speak to the cat"


def parent(number: int, flags: str = "01") -> bytes:
    return f"00-{number:032x}-{number:016x}-{flags}".encode()


def message(number: int) -> bytes:
    return json.dumps({"id": f"id-of-{number}", "text": TEXT, "author_id": "author-mia"}).encode()


def send(broker: MemoryBroker, value: bytes, traceparent: bytes | None = None) -> None:
    headers: list[tuple[str, str | bytes | None]] = (
        [] if traceparent is None else [("traceparent", traceparent)]
    )
    broker.append(MESSAGES, b"key-of-mia", value, headers=headers)


def outcomes(broker: MemoryBroker) -> int:
    return len(broker.read(LABELS)) + len(broker.read(DEAD))


@contextmanager
def tracer_to(url: str, metrics: Metrics, **more: object) -> Iterator[tuple[Settings, Tracer]]:
    config = settings(None, **{"traces_endpoint": url, "max_wait_ms": 200, "traces_at_most": 1000, **more})
    tracer = open_spans(config, metrics)
    assert tracer is not None
    yield config, tracer


def screen(broker: MemoryBroker, config: Settings, tracer: Tracer, metrics: Metrics) -> None:
    """Run a worker until every message has its outcome; its end sends what waits."""
    app = build_app(config, tracer=tracer, metrics=metrics)
    with running(
        app, lambda listener: MemoryConsumer(broker, MESSAGES, listener), MemoryProducer(broker, "a")
    ):
        wait_for(lambda: outcomes(broker) == len(broker.read(MESSAGES)), why="all outcomes")


@pytest.fixture
def broker() -> MemoryBroker:
    broker = MemoryBroker()
    for name in NAMES.values():
        broker.create(name, 1)
    return broker


@pytest.fixture
def collector() -> Iterator[Collector]:
    with collecting() as collector:
        yield collector


def test_one_trace_leads_from_the_producer_to_every_outcome(
    broker: MemoryBroker, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.app.SPANS_S", 60.0)
    metrics = Metrics()
    send(broker, message(1), parent(1))
    send(broker, message(2), parent(2, "00"))
    send(broker, message(3))
    send(broker, b"not json", parent(4))
    with tracer_to(collector.url, metrics, traces_ratio=0.0) as (config, tracer):
        screen(broker, config, tracer, metrics)
    spans = {span.trace_id: span for span in collector.spans if span.name == f"process {MESSAGES}"}
    batches = [span for span in spans.values() if "messaging.batch.message_count" in span.attributes]
    messages = {number: spans[f"{number:032x}"] for number in (1, 4)}
    assert len(spans) == len(messages) + len(batches)
    for number, span in messages.items():
        assert span.parent_id == f"{number:016x}"
        assert span.attributes == {
            "messaging.system": "kafka",
            "messaging.operation.name": "process",
            "messaging.operation.type": "process",
            "messaging.destination.name": MESSAGES,
            "messaging.consumer.group.name": "mimamori",
            "messaging.destination.partition.id": "0",
            "messaging.kafka.offset": number - 1,
        }
        (batch,) = (each for each in batches if each.span_id in span.links)
        assert span.parent_id in batch.links
        assert batch.events == ["screening", "screened", "committing"]
    # What is caused names the span, or else what its message named.
    expected = {1: messages[1].span_id, 2: f"{2:016x}", 4: messages[4].span_id}
    flags = {1: "01", 2: "00", 4: "01"}
    named = {n: f"00-{n:032x}-{span}-{flags[n]}".encode() for n, span in expected.items()}
    found = Counter(
        (topic, dict(record.headers or []).get("traceparent"))
        for topic in (LABELS, CASES, DEAD)
        for record in broker.read(topic)
    )
    assert found == Counter(
        [
            *((topic, each) for topic in (LABELS, CASES) for each in (named[1], named[2], None)),
            *((topic, named[4]) for topic in (CASES, DEAD)),
        ]
    )
    assert metrics.registry.get_sample_value("mimamori_spans_total", {"outcome": "sent"}) == len(
        collector.spans
    )


def test_no_span_says_what_was_written_by_whom_or_what_was_found(
    broker: MemoryBroker, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.app.SPANS_S", 60.0)
    for number in range(20):
        send(broker, message(number), parent(number + 1))
    send(broker, b'{"text": "' + TEXT.encode(), parent(99))
    metrics = Metrics()
    with tracer_to(collector.url, metrics, traces_ratio=1.0) as (config, tracer):
        screen(broker, config, tracer, metrics)
    sent = b"".join(collector.bodies)
    assert len(collector.spans) > 20
    for hidden in ("since", "move", "mia", "id-of-", "key-of", "at_risk", "uncertain", "clear", "json"):
        assert hidden.encode() not in sent, hidden


def test_an_aborted_batch_has_spans_that_say_so_and_is_read_again(
    broker: MemoryBroker, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.app.SPANS_S", 60.0)
    broker.abort_next = 1
    send(broker, message(1), parent(1))
    metrics = Metrics()
    with tracer_to(collector.url, metrics) as (config, tracer):
        screen(broker, config, tracer, metrics)
    tries = [span for span in collector.spans if span.trace_id == f"{1:032x}"]
    assert [span.failed for span in tries] == [True, False]
    (label,) = broker.read(LABELS)
    assert dict(label.headers or [])["traceparent"] == f"00-{1:032x}-{tries[1].span_id}-01".encode()


def test_more_sampled_messages_than_the_limit_are_labelled_with_the_trace_they_named(
    broker: MemoryBroker, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.app.SPANS_S", 60.0)
    for number in range(500):
        send(broker, message(number), parent(number + 1))
    metrics = Metrics()
    with tracer_to(collector.url, metrics, traces_at_most=0.5) as (config, tracer):
        screen(broker, config, tracer, metrics)
    over = metrics.registry.get_sample_value("mimamori_spans_total", {"outcome": "over_limit"})
    spans = {
        span.trace_id
        for span in collector.spans
        if span.kind == 5 and "messaging.kafka.offset" in span.attributes
    }
    assert 0 < len(spans) == 500 - (over or 0)
    assert all(len(span.links) <= len(spans) for span in collector.spans)
    for record in broker.read(LABELS):
        named = dict(record.headers or [])["traceparent"]
        number = schemas.decode(Label, record.value or b"").origin.offset + 1
        assert isinstance(named, bytes)
        assert named.startswith(f"00-{number:032x}-".encode())
        assert (named == parent(number)) == (f"{number:032x}" not in spans)


def test_a_collector_that_never_answers_costs_no_label(
    broker: MemoryBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tracing.sending.ANSWER_S", 3600.0)  # whoever waited for it would never be done
    monkeypatch.setattr("worker.app.SPANS_S", 0.05)
    for number in range(3000):
        send(broker, message(number), parent(number + 1))
    metrics = Metrics()
    with (
        collecting(stalled=True) as collector,
        tracer_to(collector.url, metrics, traces_at_most=1e6) as (config, tracer),
    ):
        screen(broker, config, tracer, metrics)
        assert collector.asked.wait(60)
    origins = [schemas.decode(Label, record.value or b"").origin.offset for record in broker.read(LABELS)]
    assert origins == list(range(3000))
    lost = {
        outcome: metrics.registry.get_sample_value("mimamori_spans_total", {"outcome": outcome})
        for outcome in ("sent", "not_taken", "queue_full")
    }
    assert lost["sent"] == 0
    assert (lost["not_taken"] or 0) >= 2048
    assert (lost["queue_full"] or 0) >= 3000 - 2048


def test_what_a_shadow_passes_over_has_no_span(
    broker: MemoryBroker, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.app.SPANS_S", 60.0)
    for number in range(50):
        send(broker, message(number), parent(number + 1))
    metrics = Metrics(shadow=True)
    with tracer_to(collector.url, metrics, shadow=True, shadow_share=0.5) as (config, tracer):
        app = build_app(config, tracer=tracer, metrics=metrics)
        with running(
            app, lambda listener: MemoryConsumer(broker, MESSAGES, listener), MemoryProducer(broker, "a")
        ):
            wait_for(lambda: broker.committed.get((MESSAGES, 0), (0, 0))[0] == 50, why="all offsets")
    labels = [dict(record.headers or [])["traceparent"] for record in broker.read(NAMES[schemas.ShadowLabel])]
    spans = [span for span in collector.spans if "messaging.kafka.offset" in span.attributes]
    assert 0 < len(labels) < 50
    assert labels == [f"00-{span.trace_id}-{span.span_id}-01".encode() for span in spans]
    assert {span.service for span in spans} == {"mimamori-shadow"}
    assert metrics.registry.get_sample_value("mimamori_shadow_unreadable_headers_total") == 0
