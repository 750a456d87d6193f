"""The three stations on the in-memory broker: one outcome per record, in order, whatever happens."""

import json
import random
import threading
import time
from collections.abc import Sequence
from unittest import mock

import msgspec
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from msgspec import structs

import schemas
from engine.errors import DeviceError
from engine.scores import Scores
from engine.task import load_task
from mimamori.soak.canned_engine import CannedEngine
from schemas.events import DeadLetter, Highlight, Label, Message, Origin, ReviewCase
from tests.fakes.memory_broker import MemoryBroker, MemoryConsumer, MemoryInHandTopic, MemoryProducer
from tests.fakes.worker_app import POLICY, Running, build_app, running, settings, wait_for
from worker.errors import BrokerError, RegistryError
from worker.kafka import Consumer, Membership, RebalanceListener
from worker.kafka.record import Headers, Offsets, Outbound, Record
from worker.registry.client import Registered
from worker.registry.framing import framed
from worker.settings import Settings
from worker.stream.batch import Batch, Entry
from worker.stream.decode import decode
from worker.stream.suspicion import Accused, Note
from worker.telemetry.metrics import Metrics

NAMES = schemas.topic_names()
MESSAGES, LABELS, CASES, DEAD = NAMES[Message], NAMES[Label], NAMES[ReviewCase], NAMES[DeadLetter]


def make_broker(partitions: int = 4) -> MemoryBroker:
    broker = MemoryBroker()
    for name in NAMES.values():
        broker.create(name, partitions)
    return broker


def send(broker: MemoryBroker, *values: bytes | None) -> None:
    for number, value in enumerate(values):
        broker.append(MESSAGES, str(number % 11).encode(), value)


def message(number: int, text: str = "a quiet evening at home") -> bytes:
    return json.dumps({"id": f"m{number}", "text": f"{text} {number}"}).encode()


def start(broker: MemoryBroker, config: Settings, name: str = "a", **parts: object) -> Running:
    def consumer_of(listener: RebalanceListener) -> Consumer:
        return MemoryConsumer(broker, MESSAGES, listener)

    return Running(build_app(config, **parts), consumer_of, MemoryProducer(broker, name))  # type: ignore[arg-type] # parts as named there


def outcomes(broker: MemoryBroker) -> list[Label | DeadLetter]:
    labels: list[Label | DeadLetter] = [schemas.decode(Label, r.value or b"") for r in broker.read(LABELS)]
    return labels + [schemas.decode(DeadLetter, r.value or b"") for r in broker.read(DEAD)]


def origin_of(record: Record) -> Origin:
    if record.topic == LABELS:
        return schemas.decode(Label, record.value or b"").origin
    return schemas.decode(DeadLetter, record.value or b"").origin


def assert_exactly_once(broker: MemoryBroker) -> None:
    """Every record has one outcome; per partition the labels and the dead letters stand in offset order."""
    sent = [(r.partition, r.offset) for r in broker.read(MESSAGES)]
    found = [(e.origin.partition, e.origin.offset) for e in outcomes(broker)]
    assert sorted(found) == sorted(sent)
    for topic in (LABELS, DEAD):
        for log in broker.topics[topic]:
            origins = [origin_of(r) for r in log]
            for partition in {o.partition for o in origins}:
                offsets = [o.offset for o in origins if o.partition == partition]
                assert offsets == sorted(offsets)


def drain(broker: MemoryBroker, workers: Sequence[Running]) -> None:
    wait_for(lambda: len(outcomes(broker)) >= len(broker.read(MESSAGES)), why="all outcomes")
    for worker in workers:
        worker.stop()
        if worker.error is not None:
            raise worker.error


def test_every_message_gets_one_label_and_escalations_get_a_case() -> None:
    broker = make_broker()
    send(broker, *(message(n) for n in range(200)))
    drain(broker, [start(broker, settings())])
    assert_exactly_once(broker)
    labels = {r.key: schemas.decode(Label, r.value or b"") for r in broker.read(LABELS)}
    cases = [schemas.decode(ReviewCase, r.value or b"") for r in broker.read(CASES)]
    assert {tuple(case.levels) for case in cases} == {load_task("stress").level_names}
    all_labels = [schemas.decode(Label, r.value or b"") for r in broker.read(LABELS)]
    assert {label.verdict for label in all_labels} == {"clear", "at_risk", "uncertain"}
    assert {label.scored_by for label in all_labels} == {CannedEngine(levels=3).identity.name}
    assert sorted(str(c.label_id) for c in cases) == sorted(x.id for x in all_labels if x.verdict != "clear")
    assert all(case.severity is not None for case in cases)
    assert len(labels) == 11  # the platform's own keys


BAD: dict[str, bytes | None] = {
    "null_value": None,
    "invalid_utf8": b'{"id": "1", "text": "\xff\xfe"}',
    "invalid_json": b'{"id": "1", "text": ',
    "schema_mismatch": b'{"id": 1, "text": "numbers are not ids"}',
    "empty_text": b'{"id": "1", "text": " \\n\\t\xe3\x80\x80"}',
    "unknown_task": b'{"id": "1", "text": "hello", "task": "no-such-task"}',
}


@pytest.mark.parametrize("reason", BAD)
def test_bad_input_is_a_dead_letter_with_its_reason(reason: str) -> None:
    broker = make_broker()
    value = BAD[reason]
    send(broker, message(1), value, message(2))
    drain(broker, [start(broker, settings(dead_letter_original=True))])
    assert_exactly_once(broker)
    (letter,) = (schemas.decode(DeadLetter, r.value or b"") for r in broker.read(DEAD))
    assert letter.reason == reason
    assert letter.original == value
    assert letter.original_size == (None if value is None else len(value))


UNREAD = {"invalid_utf8", "invalid_json", "schema_mismatch"}


@pytest.mark.parametrize("reason", BAD)
@pytest.mark.parametrize("with_text", [True, False])
def test_what_may_be_a_message_and_was_not_screened_goes_to_a_person(reason: str, *, with_text: bool) -> None:
    broker = make_broker()
    send(broker, BAD[reason])
    drain(broker, [start(broker, settings(case_text=with_text))])
    (letter,) = (schemas.decode(DeadLetter, r.value or b"") for r in broker.read(DEAD))
    cases = [schemas.decode(ReviewCase, r.value or b"") for r in broker.read(CASES)]
    assert [case.dead_letter_id for case in cases] == ([letter.id] if reason in UNREAD else [])
    for case in cases:
        assert (case.kind, case.unread_because) == ("unread", reason)
        assert (case.label_id, case.verdict, case.risk, case.bundle, case.reasons) == (
            None,
            None,
            None,
            None,
            [],
        )
        assert 0 < case.priority < 50
        assert case.message_id == f"{MESSAGES}:{letter.origin.partition}:{letter.origin.offset}"
        assert (case.text is not None) == with_text
    if reason == "schema_mismatch" and with_text:
        assert cases[0].text == "numbers are not ids"


def test_a_text_above_the_limit_is_read_up_to_it_and_never_clear() -> None:
    broker = make_broker()
    calm = json.dumps({"id": "long", "text": "fine " * 500}).encode()
    same = json.dumps({"id": "short", "text": ("fine " * 500)[:1000]}).encode()
    send(broker, calm, same)
    drain(broker, [start(broker, settings(max_text_chars=1000))])
    assert not broker.read(DEAD)
    labels = {x.message_id: x for x in (schemas.decode(Label, r.value or b"") for r in broker.read(LABELS))}
    assert labels["long"].truncated
    assert labels["long"].verdict != "clear"
    assert "truncated" in labels["long"].reasons
    # The same text, not cut, is another matter, though both are read once and cached as one.
    assert not labels["short"].truncated
    assert labels["short"].risk == labels["long"].risk
    cases = [schemas.decode(ReviewCase, r.value or b"") for r in broker.read(CASES)]
    assert "long" in {case.message_id for case in cases if case.kind == "escalation"}


def test_originals_are_left_out_by_default_and_above_the_cap() -> None:
    for config in (settings(), settings(dead_letter_original=True, dead_letter_max_bytes=3)):
        broker = make_broker()
        send(broker, b"not json")
        drain(broker, [start(broker, config)])
        (letter,) = (schemas.decode(DeadLetter, r.value or b"") for r in broker.read(DEAD))
        assert letter.original is None
        assert letter.original_size == 8


def test_unknown_fields_are_no_reason_to_refuse() -> None:
    broker = make_broker()
    send(broker, b'{"id": "1", "text": "hello there", "mood": {"new": ["field"]}}')
    drain(broker, [start(broker, settings())])
    assert [type(e) for e in outcomes(broker)] == [Label]


def test_text_is_on_cases_only_where_the_settings_say_so() -> None:
    secret = "a sentence nobody else may see"  # noqa: S105 - a message's text
    for case_text in (True, False):
        broker = make_broker()
        send(broker, *(message(n, secret) for n in range(30)))
        drain(broker, [start(broker, settings(case_text=case_text))])
        cases = broker.read(CASES)
        assert cases
        assert all((secret.encode() in (r.value or b"")) == case_text for r in cases)
        assert not any(secret.encode() in (r.value or b"") for r in broker.read(LABELS))


def test_an_aborted_transaction_is_rewound_and_nothing_is_lost_or_repeated() -> None:
    broker = make_broker()
    broker.abort_next = 5
    send(broker, *(message(n) for n in range(500)))
    drain(broker, [start(broker, settings(max_records=20))])
    assert broker.abort_next == 0
    assert_exactly_once(broker)


def test_aborts_in_a_row_are_waited_out_ever_longer() -> None:
    broker = make_broker(partitions=1)
    broker.abort_next = 5
    send(broker, message(1))
    started = time.monotonic()
    drain(broker, [start(broker, settings())])
    # At least half of 50, 100, 200, 400 and 800 ms; with a pause that never grows, at most 375 ms.
    assert time.monotonic() - started > 0.775
    assert_exactly_once(broker)


def test_a_void_batch_is_not_screened() -> None:
    app = build_app(settings(), engine=(engine := CountingEngine()))
    record = Record(MESSAGES, 0, 0, b"k", message(1))
    for epoch in (app._epochs.epoch, app._epochs.epoch - 1):
        app._screen(Batch(epoch, 0.0, [Entry(record, decode(record.value, frozenset(), 100))]))
    assert len(engine.asked) == 1


@hypothesis_settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 3), st.integers(1, 40), st.integers(0, 4))
def test_exactly_once_through_joins_leaves_losses_and_aborts(
    seed: int, workers: int, max_records: int, aborts: int
) -> None:
    with (
        mock.patch("worker.stream.intake.BACKOFF_S", (0.001, 0.02)),  # dozens of aborts in a row
        mock.patch("worker.registry.known.BACKOFF_S", (0.001, 0.01)),
        mock.patch("worker.registry.known.PAUSE_S", 0),
        mock.patch("worker.registry.known.DOUBT_FOR_S", 0.004),
        mock.patch("worker.registry.known.DOUBT_PAUSE_S", 0),
        mock.patch("worker.registry.known.MOST", 2),
    ):
        joins_leaves_losses_and_aborts(seed, workers, max_records, aborts)


class FlakyRegistry:
    """Has one schema in three, and is away every other time."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance

    def schema(self, schema_id: int) -> Registered | None:
        time.sleep(self._chance.choice([0, 0.002]))
        if self._chance.random() < 0.5:
            raise RegistryError("away")
        return Registered("JSON") if schema_id % 3 == 0 else None


def joins_leaves_losses_and_aborts(seed: int, workers: int, max_records: int, aborts: int) -> None:
    chance = random.Random(seed)  # noqa: S311 - a schedule, not a secret
    broker = make_broker()
    config = settings(max_records=max_records, revoke_s=chance.choice([0.001, 5.0]))
    crew: list[Running] = []
    consumers: list[MemoryConsumer] = []

    def join(name: str) -> None:
        def consumer_of(listener: RebalanceListener) -> Consumer:
            consumers.append(MemoryConsumer(broker, MESSAGES, listener))
            return consumers[-1]

        engine = CannedEngine(levels=3, seconds_per_message=chance.choice([0, 0.0005]))
        app = build_app(config, engine=engine, registry=FlakyRegistry(chance))
        crew.append(Running(app, consumer_of, MemoryProducer(broker, name)))

    for step in range(8):
        send(broker, *(chance.choice([message(n), b"bad", None]) for n in range(40)))
        send(broker, framed(chance.randrange(5), message(40)), framed(chance.randrange(5), message(41)))
        broker.abort_next += chance.randrange(aborts + 1)
        if len(crew) < workers:
            join(f"w{step}")
        elif chance.random() < 0.4:
            crew.pop(chance.randrange(len(crew))).stop()
            join(f"w{step}")
        elif consumers and chance.random() < 0.5:
            consumers[-1].vanish()
    drain(broker, crew)
    assert_exactly_once(broker)


def test_a_fenced_worker_stops_with_a_clear_error() -> None:
    broker = make_broker()
    worker = start(broker, settings(), name="same")
    wait_for(worker.app.ready.is_set)
    MemoryProducer(broker, "same")
    send(broker, message(1))
    worker.thread.join(10)
    assert isinstance(worker.error, BrokerError)
    assert outcomes(broker) == []


class BrokenEngine(CannedEngine):
    def read(self, texts: Sequence[str]) -> list[Scores]:
        del texts
        raise DeviceError("the device has gone")


def test_a_failing_model_stops_the_worker_and_commits_nothing() -> None:
    broker = make_broker()
    send(broker, message(1))
    worker = start(broker, settings(), engine=BrokenEngine(levels=3))
    worker.thread.join(10)
    assert isinstance(worker.error, DeviceError)
    assert outcomes(broker) == []
    assert broker.committed == {}


class CountingEngine(CannedEngine):
    def __init__(self) -> None:
        super().__init__(levels=3)
        self.asked: list[str] = []

    def read(self, texts: Sequence[str]) -> list[Scores]:
        self.asked += texts
        return super().read(texts)


def test_identical_texts_of_a_batch_are_read_once_and_each_gets_its_label() -> None:
    broker = make_broker(partitions=1)
    send(broker, *(json.dumps({"id": f"m{n}", "text": f"text {n % 3}"}).encode() for n in range(60)))
    engine = CountingEngine()
    drain(broker, [start(broker, settings(), engine=engine)])
    assert_exactly_once(broker)
    assert sorted(engine.asked) == ["text 0", "text 1", "text 2"]


class StoppingEngine(CannedEngine):
    """Reads texts with an even number to layer 1 and others to layer 16, as a cascade does."""

    def read(self, texts: Sequence[str]) -> list[Scores]:
        read = zip(texts, super().read(texts), strict=True)
        return [structs.replace(scores, depth=16 if int(text[-1]) % 2 else 1) for text, scores in read]


def test_a_label_says_which_depth_decided_and_the_metrics_count_it() -> None:
    broker, metrics = make_broker(), Metrics()
    send(broker, *(message(n) for n in range(30)))
    drain(broker, [start(broker, settings(), engine=StoppingEngine(), metrics=metrics)])
    labels = [schemas.decode(Label, record.value or b"") for record in broker.read(LABELS)]
    assert {(int(label.message_id[1:]) % 2, label.depth) for label in labels} == {(0, 1), (1, 16)}
    counted = {
        depth: metrics.registry.get_sample_value("mimamori_labels_by_depth_total", {"depth": depth})
        for depth in ("1", "16")
    }
    assert counted == {"1": 15, "16": 15}


class SqueamishEngine(CannedEngine):
    """Fails on whatever it is given together with a poisonous message."""

    def read(self, texts: Sequence[str]) -> list[Scores]:
        if any("poison" in text for text in texts):
            raise DeviceError("it hurts")
        return super().read(texts)


@pytest.mark.parametrize("poison", [[0], [3], [1, 2], [0, 19], list(range(19))])
def test_a_message_the_model_fails_on_is_a_dead_letter_and_the_rest_get_labels(poison: list[int]) -> None:
    broker = make_broker(partitions=1)
    send(broker, *(message(n, "poison" if n in poison else "fine") for n in range(20)))
    drain(broker, [start(broker, settings(), engine=SqueamishEngine(levels=3))])
    assert_exactly_once(broker)
    letters = [schemas.decode(DeadLetter, r.value or b"") for r in broker.read(DEAD)]
    assert [letter.origin.offset for letter in letters] == poison
    assert {letter.reason for letter in letters} == {"unscreenable"}
    assert not any(b"poison" in (r.value or b"") for r in broker.read(DEAD))


def test_one_message_the_model_fails_on_does_not_stop_a_quiet_stream() -> None:
    broker = make_broker()
    send(broker, message(1, "poison"))
    drain(broker, [start(broker, settings(), engine=SqueamishEngine(levels=3))])
    assert [type(outcome) for outcome in outcomes(broker)] == [DeadLetter]


def test_a_model_that_fails_on_all_of_many_messages_stops_the_worker_and_commits_nothing() -> None:
    broker = make_broker()
    send(broker, *(message(n, "poison") for n in range(20)))
    worker = start(broker, settings(), engine=SqueamishEngine(levels=3))
    worker.thread.join(10)
    assert isinstance(worker.error, DeviceError)
    assert "\n" not in str(worker.error)
    assert outcomes(broker) == []
    assert broker.committed == {}


class NotANumber(CannedEngine):
    def read(self, texts: Sequence[str]) -> list[Scores]:
        return [Scores(float("nan"), None, 1, truncated=False) for _ in texts]


def test_a_score_that_is_no_number_goes_to_people() -> None:
    broker = make_broker()
    send(broker, message(1))
    drain(broker, [start(broker, settings(), engine=NotANumber(levels=3))])
    (case,) = (schemas.decode(ReviewCase, r.value or b"") for r in broker.read(CASES))
    assert (case.verdict, case.priority, case.reasons) == ("uncertain", 100.0, ["unscorable"])


def test_stopping_finishes_what_is_in_flight() -> None:
    broker = make_broker()
    engine = CannedEngine(levels=3, seconds_per_message=0.002)
    send(broker, *(message(n) for n in range(100)))
    worker = start(broker, settings(max_records=50), engine=engine)
    wait_for(lambda: bool(outcomes(broker)))
    worker.stop()
    assert worker.error is None
    committed = sum(offset for offset, _ in broker.committed.values())
    assert len(outcomes(broker)) == committed  # every outcome's offset is committed, and the reverse
    drain(broker, [start(broker, settings(), name="b")])
    assert_exactly_once(broker)


def test_the_drain_gives_up_at_its_deadline_and_the_rest_is_read_again() -> None:
    broker = make_broker()
    engine = CannedEngine(levels=3, seconds_per_message=0.2)
    send(broker, *(message(n) for n in range(40)))
    worker = start(broker, settings(max_records=40, drain_s=0.1), engine=engine)
    wait_for(worker.app.ready.is_set)
    worker.stop()
    drain(broker, [start(broker, settings(), name="b")])
    assert_exactly_once(broker)


def test_the_traceparent_of_a_message_is_on_its_outcomes() -> None:
    broker = make_broker()
    trace = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    named: Headers = [("traceparent", trace), ("tracestate", b"vendor=x")]
    broker.append(MESSAGES, b"k", message(1), headers=named)
    broker.append(MESSAGES, b"k", b"not json", headers=named)
    drain(broker, [start(broker, settings())])
    assert broker.read(LABELS)
    assert broker.read(DEAD)
    assert broker.read(CASES)
    for outcome in (*broker.read(LABELS), *broker.read(DEAD), *broker.read(CASES)):
        assert [one for one in outcome.headers or [] if one[0].startswith("trace")] == named


def test_a_malformed_traceparent_is_counted_and_goes_no_further() -> None:
    broker, metrics = make_broker(), Metrics()
    for value in (b"hello", b"", None, b"\xff", b"00-" + b"0" * 32 + b"-b7ad6b7169203331-01"):
        broker.append(MESSAGES, b"k", message(1), headers=[("traceparent", value), ("tracestate", b"a=b")])
    broker.append(MESSAGES, b"k", message(1), headers=[("tracestate", b"a=b")])
    drain(broker, [start(broker, settings(), metrics=metrics)])
    assert not any(name.startswith("trace") for each in broker.read(LABELS) for name, _ in each.headers or [])
    assert metrics.registry.get_sample_value("mimamori_unreadable_headers_total") == 5


def test_a_label_keeps_to_the_running_app_context() -> None:
    broker = make_broker()
    app = build_app(settings())
    with running(
        app, lambda listener: MemoryConsumer(broker, MESSAGES, listener), MemoryProducer(broker, "a")
    ):
        send(broker, message(1))
        wait_for(lambda: len(outcomes(broker)) == 1)
    first: Record = broker.read(LABELS)[0]
    assert first.key == b"0"


def test_a_key_too_long_for_any_outcome_topic_is_replaced_by_its_digest() -> None:
    broker = make_broker()
    broker.append(MESSAGES, b"k" * 1_000_000, message(1))
    broker.append(MESSAGES, b"k" * 1_000_000, b"not json")
    drain(broker, [start(broker, settings())])
    keys = {record.key for topic in (LABELS, DEAD) for record in broker.read(topic)}
    assert len(keys) == 1
    assert len(keys.pop() or b"") == 32


def test_a_record_whose_offset_cannot_be_is_a_dead_letter_and_unreadable_headers_only_cost_the_trace() -> (
    None
):
    broker = make_broker(1)
    broker.append(MESSAGES, b"k", message(1))
    broker.append(MESSAGES, b"k", message(2))
    log = broker.topics[MESSAGES][0]
    log[0] = structs.replace(log[0], fault="its offset cannot be")
    log[1] = structs.replace(log[1], headers=None)
    metrics = Metrics()
    drain(broker, [start(broker, settings(), metrics=metrics)])
    (letter,) = (schemas.decode(DeadLetter, r.value or b"") for r in broker.read(DEAD))
    assert (letter.reason, letter.detail) == ("unreadable_record", "its offset cannot be")
    assert len(broker.read(LABELS)) == 1
    assert metrics.registry.get_sample_value("mimamori_unreadable_headers_total") == 1


@pytest.mark.parametrize("ahead_s", [-1e12, -60 * 86_400, 3600, 365 * 86_400, 1e12])
def test_a_timestamp_that_cannot_be_meant_is_no_latency(ahead_s: float) -> None:
    broker = make_broker(1)
    now = time.time()
    for shift in (-2.0, 20.0, ahead_s):  # two seconds ago, a clock that is a little ahead, and the odd one
        broker.append(MESSAGES, b"k", message(1))
        log = broker.topics[MESSAGES][0]
        log[-1] = structs.replace(log[-1], timestamp_ms=int((now + shift) * 1000))
    metrics = Metrics()
    drain(broker, [start(broker, settings(), metrics=metrics)])
    assert metrics.registry.get_sample_value("mimamori_latency_seconds_count") == 2
    total = metrics.registry.get_sample_value("mimamori_latency_seconds_sum")
    assert total is not None
    assert 2 <= total < 120


class Unable(CannedEngine):
    """Reads nothing any more: not even a control text."""

    def read(self, texts: Sequence[str]) -> list[Scores]:
        raise DeviceError(f"gone, with {len(texts)} to read")


def test_a_device_that_is_gone_accuses_no_message() -> None:
    """One death more and the message would be a dead letter: so the engine must first read a control text."""
    broker = make_broker(partitions=1)
    send(broker, message(1))
    (sent,) = broker.read(MESSAGES)
    note = Note(accused=(Accused(0, sent.timestamp_ms, 1),))
    notes = MemoryInHandTopic({(MESSAGES, 0): msgspec.json.encode(note)})
    worker = start(broker, settings(), engine=Unable(levels=3), notes=notes)
    worker.thread.join(30)
    assert isinstance(worker.error, DeviceError)
    assert notes.notes[MESSAGES, 0] == msgspec.json.encode(note)  # nothing was in hand
    drain(broker, [start(broker, settings(), name="b", notes=notes)])
    assert [type(outcome) for outcome in outcomes(broker)] == [Label]


def test_a_worker_that_stops_for_another_reason_accuses_nothing_it_still_answers() -> None:
    """The outbox fails while the model reads the next message, which takes a little longer."""
    second, failed = threading.Event(), threading.Event()

    class Busy(CannedEngine):
        def read(self, texts: Sequence[str]) -> list[Scores]:
            if any("1" in text for text in texts):
                second.set()
                failed.wait(30)
                time.sleep(0.3)  # this is the fault: a device that is busy
            return super().read(texts)

    class Fenced(MemoryProducer):
        def commit(self, outbound: Sequence[Outbound], offsets: Offsets, membership: Membership) -> None:
            del outbound, offsets, membership
            second.wait(30)
            failed.set()
            raise BrokerError("this worker was fenced")

    broker, notes = make_broker(partitions=1), MemoryInHandTopic()
    send(broker, message(0), message(1))
    app = build_app(settings(max_records=1), engine=Busy(levels=3), notes=notes)
    worker = Running(app, lambda listener: MemoryConsumer(broker, MESSAGES, listener), Fenced(broker, "a"))
    worker.thread.join(30)
    assert isinstance(worker.error, BrokerError)
    assert second.is_set()
    assert msgspec.json.decode(notes.notes[MESSAGES, 0], type=Note).held is None


class HighlightingEngine(CannedEngine):
    """Finds one span in each text; none in those that say so, and fails on those that say that."""

    def read(self, texts: Sequence[str]) -> list[Scores]:
        """See Engine.read."""
        found = {"none": (), "fails": None}
        return [
            structs.replace(scores, highlights=found.get(text.split()[0], (Highlight(2, 7, 0.5),)))
            for text, scores in zip(texts, super().read(texts), strict=True)
        ]


def test_escalations_carry_highlights_and_a_failed_search_costs_nothing_else() -> None:
    broker, metrics = make_broker(), Metrics()
    texts = ["a quiet evening", "none of it", "fails me"]
    send(broker, *(message(number, texts[number % 3]) for number in range(150)))
    policy = structs.replace(POLICY, quality_sample_share=0.5)
    config = settings(case_text=False)
    drain(
        broker, [start(broker, config, engine=HighlightingEngine(levels=3), policy=policy, metrics=metrics)]
    )
    assert_exactly_once(broker)
    cases = [schemas.decode(ReviewCase, record.value or b"") for record in broker.read(CASES)]
    expected = {0: [Highlight(2, 7, 0.5)], 1: [], 2: []}
    for case in cases:
        kind = int(case.message_id.removeprefix("m")) % 3
        assert case.highlights == ([] if case.kind == "quality_sample" else expected[kind])
        assert case.text is None
    assert {case.kind for case in cases} == {"escalation", "quality_sample"}
    assert metrics.registry.get_sample_value("mimamori_lost_highlights_total") == 50
