"""What the stations rely on, run on the in-memory broker and on Apache Kafka alike."""

import os
import time

import pytest

from engine.errors import FatalError
from tests.fakes.brokers import (
    PARTITIONS,
    Broker,
    Listener,
    offsets_of,
    outcome,
    poll_until,
    take,
)
from worker.errors import RetryableError
from worker.kafka import Consumer
from worker.kafka.record import Record


def test_each_partition_is_read_in_offset_order(broker: Broker, consumer: Consumer) -> None:
    for number in range(60):
        broker.send(str(number % 7).encode(), str(number).encode())
    records = take(consumer, 60)
    for partition in {r.partition for r in records}:
        offsets = [r.offset for r in records if r.partition == partition]
        assert offsets == list(range(len(offsets)))


def test_a_poll_waits_for_the_first_record_not_for_as_many_as_it_may_bring(
    broker: Broker, consumer: Consumer
) -> None:
    broker.send(b"k", b"0")
    take(consumer, 1)
    broker.send(b"k", b"1")
    started = time.monotonic()
    assert [r.value for r in consumer.poll(100, 60.0)] == [b"1"]
    assert time.monotonic() - started < 30


def test_null_keys_and_values_arrive_as_none(broker: Broker, consumer: Consumer) -> None:
    broker.send(None, None)
    (record,) = take(consumer, 1)
    assert record.key is None
    assert record.value is None
    assert record.timestamp_ms > 0


def test_a_commit_shows_the_outcomes_and_moves_the_group(broker: Broker) -> None:
    broker.send(b"k", b"first")
    broker.send(b"k", b"second")
    before = broker.consumer(Listener())
    records = take(before, 2)
    producer = broker.producer("a")
    producer.commit([outcome(broker, b"done")], offsets_of(records[:1]), before.membership())
    before.close()
    assert broker.read_outcomes() == [b"done"]

    after = broker.consumer(Listener())
    assert [r.value for r in take(after, 1)] == [b"second"]
    after.close()


def test_what_was_read_and_not_committed_is_read_again(broker: Broker) -> None:
    broker.send(b"k", b"only")
    before = broker.consumer(Listener())
    take(before, 1)
    before.close()
    after = broker.consumer(Listener())
    assert [r.value for r in take(after, 1)] == [b"only"]
    after.close()


def test_rewind_goes_back_to_what_is_committed(broker: Broker, consumer: Consumer) -> None:
    for value in (b"0", b"1", b"2"):
        broker.send(b"k", value)
    records = take(consumer, 3)
    broker.producer("a").commit([], offsets_of(records[:1]), consumer.membership())
    consumer.rewind()
    assert [r.value for r in take(consumer, 2)] == [b"1", b"2"]


def test_rewind_without_a_commit_goes_back_to_the_start(broker: Broker, consumer: Consumer) -> None:
    broker.send(b"k", b"0")
    take(consumer, 1)
    consumer.rewind()
    assert [r.value for r in take(consumer, 1)] == [b"0"]


def test_nothing_arrives_while_paused(broker: Broker, consumer: Consumer) -> None:
    broker.send(b"k", b"0")
    take(consumer, 1)
    consumer.pause()
    broker.send(b"k", b"1")
    assert [record for _ in range(5) for record in consumer.poll(10, 0.05)] == []
    consumer.resume()
    assert [r.value for r in take(consumer, 1)] == [b"1"]


def test_a_partition_that_left_while_paused_is_read_again_when_it_comes_back(broker: Broker) -> None:
    broker.send(b"k", b"0")
    listener = Listener()
    first = broker.consumer(listener)
    take(first, 1)
    first.pause()
    second = broker.consumer(Listener())
    poll_until(first, lambda _: 0 < len(listener.owned) < PARTITIONS, [second])
    first.resume()
    first.poll(1, 0.1)
    second.close()
    poll_until(first, lambda _: len(listener.owned) == PARTITIONS)
    for number in range(40):
        broker.send(str(number).encode(), str(number).encode())
    wanted = {str(number).encode() for number in range(40)}
    poll_until(first, lambda records: {r.value for r in records} >= wanted)
    first.close()


def test_lag_counts_what_is_still_to_be_read(broker: Broker, consumer: Consumer) -> None:
    broker.send(b"k", b"0")
    take(consumer, 1)
    deadline = time.monotonic() + 10
    while consumer.lag() != 0:
        assert time.monotonic() < deadline
        consumer.poll(1, 0.05)


def test_lag_counts_partitions_that_are_not_reached_yet(broker: Broker) -> None:
    """Behind a partition with many records, a slow worker reads no other one for minutes."""
    for number in range(40):
        broker.send(str(number).encode(), b"0")
    before = broker.consumer(Listener())
    records = take(before, 40)
    assert len({r.partition for r in records}) == PARTITIONS
    broker.producer("a").commit([], offsets_of(records), before.membership())
    before.close()
    for number in range(40):
        broker.send(str(number).encode(), b"1")
    after = broker.consumer(Listener())
    deadline = time.monotonic() + 60
    while not after.poll(1, 0.1):
        assert time.monotonic() < deadline, "nothing was read"
    while (lag := after.lag()) != 39:
        assert time.monotonic() < deadline, f"{lag} records of 39"
        time.sleep(0.02)  # the client learns the ends by itself
    after.close()


def test_what_the_broker_will_never_take_stops_the_worker_with_its_name(
    broker: Broker, consumer: Consumer
) -> None:
    broker.send(b"k", b"0")
    records = take(consumer, 1)
    producer = broker.producer("a")
    with pytest.raises(FatalError, match=r"outcomes|SIZE"):
        producer.commit([outcome(broker, os.urandom(3_000_000))], offsets_of(records), consumer.membership())
    assert broker.read_outcomes() == []


def test_a_second_producer_with_the_same_id_fences_the_first(broker: Broker, consumer: Consumer) -> None:
    broker.send(b"k", b"0")
    records = take(consumer, 1)
    first = broker.producer("same")
    second = broker.producer("same")
    with pytest.raises(FatalError):
        first.commit([outcome(broker, b"zombie")], offsets_of(records), consumer.membership())
    second.commit([outcome(broker, b"alive")], offsets_of(records), consumer.membership())
    assert broker.read_outcomes() == [b"alive"]


def test_a_membership_from_before_a_revocation_cannot_commit(broker: Broker) -> None:
    for number in range(40):
        broker.send(str(number).encode(), b"x")
    listener = Listener()
    first = broker.consumer(listener)
    records = take(first, 40)
    stale = first.membership()
    second = broker.consumer(Listener())
    poll_until(first, lambda _: 0 < len(listener.owned) < PARTITIONS, [second])
    producer = broker.producer("a")
    with pytest.raises(RetryableError):
        producer.commit([outcome(broker, b"stale")], offsets_of(records), stale)
    producer.commit([outcome(broker, b"fresh")], {}, first.membership())  # the producer lives on
    assert broker.read_outcomes() == [b"fresh"]
    first.close()
    second.close()


def test_a_commit_made_while_partitions_are_being_revoked_counts(broker: Broker) -> None:
    for number in range(40):
        broker.send(str(number).encode(), str(number).encode())
    producer = broker.producer("a")
    records: list[Record] = []

    def finish() -> None:
        if records:
            producer.commit([outcome(broker, b"finished")], offsets_of(records), first.membership())
            records.clear()

    listener = Listener(finish)
    first = broker.consumer(listener)
    records += take(first, 40)
    second_listener = Listener()
    second = broker.consumer(second_listener)
    seen: list[Record] = []
    deadline = time.monotonic() + 30
    while not second_listener.owned:
        assert time.monotonic() < deadline
        first.poll(100, 0.1)
        seen += second.poll(100, 0.1)
    assert broker.read_outcomes() == [b"finished"]
    seen += second.poll(100, 1.0)
    assert seen == []
    first.close()
    second.close()
