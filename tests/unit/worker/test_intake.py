"""Station 1 alone, its timing in the test's hands."""

import itertools
import json
import queue
import threading
import time
from collections.abc import Callable, Sequence
from unittest import mock

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.scores import Scores
from tests.fakes.memory_broker import MemoryInHandTopic
from tests.fakes.worker_app import build_pipeline, settings
from worker.cache.score_cache import NoCache
from worker.kafka import Membership
from worker.kafka.record import Record
from worker.stream import intake as intake_module
from worker.stream.batch import Batch
from worker.stream.epochs import Epochs
from worker.stream.in_hand import InHand
from worker.stream.intake import Intake, backoff_s
from worker.stream.reception import Reception
from worker.stream.routing import Routing
from worker.stream.suspicion import Accused, Note, Suspect
from worker.telemetry.metrics import Metrics

Step = Callable[[], Sequence[Record]]


def record(offset: int, text: str = "hello") -> Record:
    value = json.dumps({"id": f"m{offset}", "text": text}).encode()
    return Record("mimamori.messages", 0, offset, b"k", value)


class ScriptedConsumer:
    """Plays one step per poll, then stops the intake. While paused it plays only if told to."""

    def __init__(self, *steps: Step, while_paused: bool = False) -> None:
        self.steps = list(steps)
        self._while_paused = while_paused
        self.paused = False
        self.rewinds = 0
        self.behind = 0
        self.stop: Callable[[], None] = lambda: None

    def poll(self, limit: int, timeout_s: float) -> list[Record]:
        del limit, timeout_s
        if not self.steps:
            self.stop()
            return []
        if self.paused and not self._while_paused:
            return []
        return list(self.steps.pop(0)())

    def pause(self) -> None:
        self.paused = True

    def resume(self) -> None:
        self.paused = False

    def rewind(self) -> None:
        self.rewinds += 1

    def membership(self) -> Membership:
        return None

    def lag(self) -> int:
        return self.behind

    def silence_s(self) -> float:
        return 0.0

    def close(self) -> None: ...


class Fixture:
    def __init__(self, cache: NoCache | None = None, **overrides: object) -> None:
        self.epochs = Epochs()
        self.metrics = Metrics()
        self.notes = MemoryInHandTopic()
        self.in_hand = InHand(self.notes, Metrics())
        self.batches: queue.SimpleQueue[Batch | None] = queue.SimpleQueue()
        given = settings(None, **overrides)
        self.intake = Intake(
            given,
            Reception(given, Routing(build_pipeline(cache=cache)), self.in_hand),
            self.epochs,
            self.metrics,
            self.batches,
            self.in_hand,
        )

    def run(self, *steps: Step, while_paused: bool = False, behind: int = 0) -> ScriptedConsumer:
        consumer = ScriptedConsumer(*steps, while_paused=while_paused)
        consumer.behind = behind
        consumer.stop = self.intake.stop
        self.intake.run(consumer)
        return consumer

    def taken(self) -> list[Batch]:
        batches = []
        while (batch := self.batches.get(timeout=5)) is not None:
            batches.append(batch)
        return batches


def test_records_read_past_an_abort_are_void_until_the_intake_has_rewound() -> None:
    fixture = Fixture(max_records=1)

    def poll_while_the_outbox_aborts() -> Sequence[Record]:
        fixture.epochs.end_epoch()
        return [record(7)]

    consumer = fixture.run(poll_while_the_outbox_aborts, lambda: [record(3)])
    void, current = fixture.taken()
    assert void.offsets == {("mimamori.messages", 0): 8}
    assert not fixture.epochs.is_current(void.epoch)
    assert current.offsets == {("mimamori.messages", 0): 4}
    assert fixture.epochs.is_current(current.epoch)
    assert consumer.rewinds == 1


def test_the_committed_offsets_are_asked_for_only_when_no_commit_is_under_way(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Kafka 4.3 takes a commit of an earlier epoch for partitions that a worker keeps."""
    monkeypatch.setattr("worker.stream.intake.BACKOFF_S", (0.0, 0.0))  # it polls meanwhile, too
    fixture = Fixture(max_records=1, revoke_s=0.01)
    rewinds: list[int] = []

    def revoke_while_the_outbox_commits() -> Sequence[Record]:
        assert fixture.epochs.begin_commit(fixture.epochs.epoch)
        fixture.intake.revoked([("mimamori.messages", 1)])
        return []

    def still_commits() -> Sequence[Record]:
        rewinds.append(consumer.rewinds)
        return []

    def has_committed() -> Sequence[Record]:
        fixture.epochs.end_commit()
        return still_commits()

    def records_again() -> Sequence[Record]:
        return [record(8), *still_commits()]

    polls = [still_commits] * 20
    steps = [lambda: [record(7)], revoke_while_the_outbox_commits, *polls, has_committed, records_again]
    consumer = ScriptedConsumer(*steps, while_paused=True)
    consumer.stop = fixture.intake.stop
    fixture.intake.run(consumer)
    assert rewinds == [0] * 21 + [1]  # before the commit's end, and after it


@pytest.mark.parametrize("draining", [False, True])
def test_no_partition_is_given_up_in_the_middle_of_a_commit_where_the_broker_may_not_look(
    monkeypatch: pytest.MonkeyPatch, *, draining: bool
) -> None:
    """With the protocol `consumer`, the epoch may stay what it is, and Kafka takes any commit under it.

    A worker that drains is still a member.
    """
    fixture = Fixture(max_records=1, revoke_s=0.01, group_protocol="consumer")
    given_up: list[bool] = []
    monkeypatch.setattr(fixture.in_hand, "forget", lambda _: given_up.append(fixture.epochs.committing))
    fixture.epochs.open()
    assert fixture.epochs.begin_commit(fixture.epochs.epoch)
    if draining:
        fixture.intake.stop(60)
    revocation = threading.Thread(target=fixture.intake.revoked, args=([("mimamori.messages", 1)],))
    revocation.start()
    revocation.join(0.3)  # so long one that does not wait has to give it up
    assert fixture.epochs.setbacks == 1, "its patience is over"
    fixture.epochs.end_commit()
    revocation.join(10)
    assert given_up == [False]


def test_once_the_drain_is_over_a_commit_that_hangs_holds_nothing_up() -> None:
    """The worker leaves its group then, which refuses the commit."""
    fixture = Fixture(max_records=1, group_protocol="consumer")
    fixture.epochs.open()
    assert fixture.epochs.begin_commit(fixture.epochs.epoch)
    fixture.intake.stop(0)
    revocation = threading.Thread(target=fixture.intake.revoked, args=([("mimamori.messages", 1)],))
    revocation.start()
    revocation.join(30)
    assert not revocation.is_alive()


def test_a_worker_whose_partitions_were_lost_is_not_ready_before_its_group_has_it_again() -> None:
    fixture = Fixture()
    intake, places = fixture.intake, [("mimamori.messages", 0)]
    assert not intake.joined.is_set()
    with mock.patch.object(intake_module, "SETTLED_S", -60.0):
        intake.assigned([])  # it had none at first, a minute ago
    intake.assigned(places)
    assert intake.joined.is_set()
    intake.revoked(places)  # to another member, in an orderly way
    assert intake.joined.is_set()
    intake.assigned(places)
    intake.lost(places)  # as after a session without a heartbeat
    assert not intake.joined.is_set()
    fixture.run(list)  # one poll, in which nothing comes
    assert not intake.joined.is_set()
    intake.assigned(places)  # it is a member again
    assert intake.joined.is_set()


def test_a_revocation_that_cannot_finish_in_time_voids_what_is_in_flight() -> None:
    fixture = Fixture(max_records=1, revoke_s=0.01)

    def revoke() -> Sequence[Record]:
        fixture.intake.revoked([("mimamori.messages", 1)])  # nobody closes the batch in flight
        return [record(8)]  # of a partition that stays: read past what was just voided

    fixture.run(lambda: [record(7)], revoke)
    assert all(not fixture.epochs.is_current(batch.epoch) for batch in fixture.taken())


def test_lost_partitions_void_even_the_open_batch() -> None:
    fixture = Fixture(max_wait_ms=60_000)

    def lose() -> Sequence[Record]:
        fixture.intake.lost([("mimamori.messages", 0)])
        return []

    fixture.run(lambda: [record(1)], lambda: [record(2)], lose)
    (first,) = fixture.taken()  # the second was still open
    assert not fixture.epochs.is_current(first.epoch)
    assert fixture.epochs.in_flight == 1


def test_a_batch_waits_for_company_only_while_another_is_in_flight() -> None:
    fixture = Fixture(max_wait_ms=60_000)
    fixture.run(lambda: [record(1)], lambda: [record(2)], lambda: [record(3)])
    assert [len(batch.entries) for batch in fixture.taken()] == [1, 2]


def test_a_batch_closes_at_its_token_budget() -> None:
    fixture = Fixture(max_tokens=100, max_wait_ms=60_000)
    fixture.run(lambda: [record(n, "x" * 200) for n in range(6)])
    assert [len(batch.entries) for batch in fixture.taken()] == [2, 2, 2]


def test_a_batch_closes_at_what_the_model_reads_in_time() -> None:
    fixture = Fixture(max_wait_ms=60_000, max_batch_s=2.0)
    fixture.intake.pace.note(1_000, seconds=20)  # 50 tokens a second
    fixture.run(lambda: [record(n, "x" * 200) for n in range(6)])
    assert [len(batch.entries) for batch in fixture.taken()] == [2, 2, 2]


def test_an_old_batch_waits_for_company_while_one_stands_before_the_model() -> None:
    fixture = Fixture(max_wait_ms=1)

    def finish_one() -> Sequence[Record]:
        fixture.epochs.close()
        return []

    # Whenever the clock is read, another second has passed: every batch is old.
    with mock.patch("worker.stream.intake.time.monotonic", itertools.count().__next__):
        fixture.run(*[lambda n=n: [record(n)] for n in range(4)], finish_one)
    assert [len(batch.entries) for batch in fixture.taken()] == [1, 1, 2]


def test_no_more_batches_are_in_flight_than_allowed_however_much_one_poll_brings() -> None:
    fixture = Fixture(max_records=1, max_batches=2)
    fixture.run(lambda: [record(n) for n in range(50)])
    assert [batch.offsets["mimamori.messages", 0] for batch in fixture.taken()] == [1, 2]


def test_what_waits_for_room_goes_with_its_partition() -> None:
    fixture = Fixture(max_records=1, max_batches=1, revoke_s=0.01)

    def other(offset: int) -> Record:
        return Record("mimamori.messages", 1, offset, b"k", record(offset).value)

    def revoke() -> Sequence[Record]:
        fixture.epochs.close()
        fixture.intake.revoked([("mimamori.messages", 0)])
        return []

    fixture.run(lambda: [record(0), record(1), other(0)], revoke, while_paused=True)
    assert [batch.offsets for batch in fixture.taken()] == [
        {("mimamori.messages", 0): 1},
        {("mimamori.messages", 1): 1},
    ]


@given(
    st.lists(st.integers(0, 600), max_size=40), st.integers(1, 200), st.integers(1, 300), st.integers(1, 4)
)
def test_tokens_in_flight_stay_within_their_bound_and_every_record_still_gets_its_turn(
    lengths: list[int], max_tokens: int, limit: int, max_batches: int
) -> None:
    fixture = Fixture(
        max_tokens=max_tokens, max_in_flight_tokens=limit, max_batches=max_batches, max_wait_ms=60_000
    )
    waiting: list[Batch] = []
    seen: list[int] = []

    def finish_one() -> Sequence[Record]:
        while not fixture.batches.empty():
            waiting.append(batch := fixture.batches.get() or pytest.fail("it ended"))
            seen.extend(entry.record.offset for entry in batch.entries)
        assert len(waiting) <= max_batches
        assert sum(batch.estimated_tokens for batch in waiting) <= fixture.epochs.estimated_tokens
        assert fixture.epochs.estimated_tokens <= limit or fixture.epochs.in_flight == 1
        if waiting:
            fixture.epochs.close(waiting.pop(0).estimated_tokens)
        return []

    texts = ["x" * (1 + length) for length in lengths]
    send = [lambda: [record(n, text) for n, text in enumerate(texts)]]
    with mock.patch("worker.stream.intake.IDLE_POLL_S", 0):
        fixture.run(*send, *[finish_one] * (2 * len(texts) + 2), while_paused=True)
    seen += [entry.record.offset for batch in fixture.taken() for entry in batch.entries]
    assert seen == list(range(len(texts)))
    for batch in waiting:
        fixture.epochs.close(batch.estimated_tokens)


def test_seconds_of_work_count_what_waits_in_kafka_for_room_and_in_flight() -> None:
    fixture = Fixture(max_records=1, max_batches=1)
    shown: list[float | None] = []

    def look() -> Sequence[Record]:
        shown.append(fixture.metrics.registry.get_sample_value("mimamori_work_seconds"))
        return []

    def measure() -> Sequence[Record]:
        fixture.intake.pace.note(1_000, seconds=20)  # 50 tokens a second
        return []

    send = [lambda: [record(n, "x" * 196) for n in range(4)]]  # 50 tokens each: one in flight, three wait
    with mock.patch("worker.stream.intake.LAG_EVERY_S", 0), mock.patch("worker.stream.intake.IDLE_POLL_S", 0):
        fixture.run(*send, look, measure, look, look, while_paused=True, behind=10)
    assert shown == [None, pytest.approx(14), pytest.approx(14)]


def test_the_pause_before_reading_again_doubles_until_a_batch_is_committed() -> None:
    for setbacks, doubled in ((1, 0.05), (2, 0.1), (5, 0.8), (9, 5.0), (10_000, 5.0)):
        pauses = [backoff_s(setbacks) for _ in range(200)]
        assert 0.5 * doubled <= min(pauses) < max(pauses) <= 1.5 * doubled
    epochs = Epochs()
    for _ in range(3):
        epochs.end_epoch()
    assert epochs.setbacks == 3
    epochs.committed()
    assert epochs.setbacks == 0


def test_the_earliest_deadline_of_a_drain_holds() -> None:
    fixture = Fixture()
    before = time.monotonic()
    fixture.intake.stop(25)
    fixture.intake.stop(1_000)
    assert before + 25 <= fixture.intake.drain_until <= time.monotonic() + 25
    fixture.intake.stop(0)
    assert fixture.intake.drain_until <= time.monotonic()


class KnowsAll(NoCache):
    def lookup(self, texts: Sequence[str]) -> list[Scores | None]:
        return [Scores(0.1, None, 1, truncated=False)] * len(texts)


def test_cached_records_cost_no_tokens_and_ride_in_the_batch() -> None:
    fixture = Fixture(KnowsAll(), max_tokens=100, max_wait_ms=60_000)
    fixture.run(lambda: [record(n, "x" * 200) for n in range(6)])
    (batch,) = fixture.taken()
    assert all(entry.cached for entry in batch.entries)
    assert batch.estimated_tokens == 0


def test_reading_pauses_while_enough_batches_are_in_flight() -> None:
    fixture = Fixture(max_records=1, max_batches=2)
    paused: list[bool] = []

    def look() -> Sequence[Record]:
        paused.append(consumer.paused)
        return []

    def finish_one() -> Sequence[Record]:
        fixture.epochs.close()
        return look()

    consumer = ScriptedConsumer(
        lambda: [record(0)], lambda: [record(1), record(2)], look, finish_one, look, while_paused=True
    )
    consumer.stop = fixture.intake.stop
    fixture.intake.run(consumer)
    assert paused == [True, True, False]


def inherit(fixture: Fixture, note: Note) -> Step:
    """A poll in which the partition comes, with what its last owner left behind."""
    place = ("mimamori.messages", 0)
    fixture.notes.notes[place] = msgspec.json.encode(note)

    def assign() -> Sequence[Record]:
        fixture.intake.assigned([place])
        return [record(offset) for offset in range(7)]

    return assign


def test_suspects_are_read_one_at_a_time_and_in_their_order() -> None:
    fixture = Fixture(max_batches=9)
    fixture.run(inherit(fixture, Note(suspects=(Suspect(2, 4, 2),))))
    batches = fixture.taken()
    assert [[entry.record.offset for entry in batch.entries] for batch in batches] == [
        [0, 1],
        [2],
        [3],
        [4],
        [5, 6],
    ]
    assert [batch.alone for batch in batches] == [False, True, True, True, False]


def test_what_needs_no_model_may_ride_with_a_suspect() -> None:
    fixture = Fixture(max_batches=9)
    assign = inherit(fixture, Note(suspects=(Suspect(0, 6, 2),)))

    def with_bad_records() -> Sequence[Record]:
        return [msgspec.structs.replace(one, value=b"?") if one.offset % 3 else one for one in assign()]

    fixture.run(with_bad_records)
    assert [[entry.record.offset for entry in batch.entries] for batch in fixture.taken()] == [
        [0, 1, 2],
        [3, 4, 5],
        [6],
    ]


def test_who_was_alone_at_two_deaths_is_rejected_in_place_and_never_read() -> None:
    fixture = Fixture()
    fixture.run(inherit(fixture, Note(accused=(Accused(3, 0, 2),))))
    (batch,) = fixture.taken()
    assert [entry.record.offset for entry in batch.entries] == list(range(7))
    rejections = [entry.rejection for entry in batch.entries]
    assert [one is not None for one in rejections] == [offset == 3 for offset in range(7)]
    assert rejections[3] is not None
    assert rejections[3].reason == "unscreenable"
    assert batch.entries[3].message is None


def test_partitions_that_left_are_no_longer_suspected() -> None:
    fixture = Fixture()
    assign = inherit(fixture, Note(suspects=(Suspect(0, 6, 2),)))

    def come_and_go() -> Sequence[Record]:
        records = assign()
        fixture.intake.revoked([("mimamori.messages", 0)])
        return records

    fixture.run(come_and_go)
    assert len(fixture.taken()) == 1


def test_a_joining_worker_is_ready_once_it_has_a_partition() -> None:
    """In a cooperative rebalance it gets none at first, while others still give some up."""
    fixture = Fixture()
    seen: list[bool] = []

    def assigned(*partitions: tuple[str, int]) -> Step:
        def step() -> Sequence[Record]:
            fixture.intake.assigned(partitions)
            seen.append(fixture.intake.joined.is_set())
            return []

        return step

    fixture.run(assigned(), list, assigned(("mimamori.messages", 0)))
    assert seen == [False, True]


def test_a_worker_for_which_there_is_no_partition_is_ready_a_while_later() -> None:
    fixture = Fixture()

    def assigned() -> Sequence[Record]:
        fixture.intake.assigned([])
        return []

    with mock.patch.object(intake_module, "SETTLED_S", 0.0):
        fixture.run(assigned, list)
    assert fixture.intake.joined.is_set()


def ready_though_it_was_never_told(protocol: str) -> bool:
    fixture = Fixture(group_protocol=protocol)
    with mock.patch.object(intake_module, "SILENT_JOIN_S", 0.0):
        fixture.run(list, list)
    return fixture.intake.joined.is_set()


def test_a_worker_that_is_never_told_of_an_assignment_is_ready_where_its_protocol_tells_of_none() -> None:
    assert ready_though_it_was_never_told("consumer")
    assert not ready_though_it_was_never_told("classic")  # which tells of one without partitions, too


def test_what_was_held_and_given_up_is_reported_no_more() -> None:
    fixture = Fixture()
    held: list[float | None] = []

    def look() -> Sequence[Record]:
        held.append(fixture.metrics.registry.get_sample_value("mimamori_records_without_schema"))
        return []

    def give_up() -> Sequence[Record]:
        fixture.intake.revoked([("mimamori.messages", 0)])
        return []

    with (
        mock.patch.object(Reception, "ready", return_value=0),
        mock.patch.object(Reception, "wait"),
        mock.patch.object(intake_module, "LAG_EVERY_S", 0.0),
    ):
        fixture.run(lambda: [record(1)], look, give_up, look, look, while_paused=True)
    assert held[0] == 1
    assert held[-1] == 0
