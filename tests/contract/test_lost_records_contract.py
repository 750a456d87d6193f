"""What a consumer says, and where it goes on, when records or their whole topic are gone."""

import pytest

from engine.errors import FatalError
from tests.fakes.brokers import Broker, Listener, offsets_of, outcome, take
from worker.kafka import Restart, starts


def test_a_topic_made_again_under_a_reader_stops_it_and_its_successor_reads_from_the_start(
    broker: Broker,
) -> None:
    """Whatever it still commits: the offset says of which topic it is."""
    for value in (b"0", b"1", b"2"):
        broker.send(b"k", value)
    first = broker.consumer(Listener())
    records = take(first, 3)
    membership = first.membership()
    broker.make_again()
    for number in range(6):
        broker.send(b"k", b"new %d" % number)
    broker.producer("a").commit([outcome(broker, b"late")], offsets_of(records), membership)
    with pytest.raises(FatalError, match="made again"):
        take(first, 100)
    first.close()

    listener = Listener()
    second = broker.consumer(listener)
    assert [r.value for r in take(second, 6)] == [b"new %d" % number for number in range(6)]
    second.close()
    (restart,) = listener.restarts
    assert (restart.reason, restart.left, restart.begins) == ("made_again", 3, 0)

    third = broker.consumer(again := Listener())  # nothing was committed since but the start itself
    take(third, 6)
    third.close()
    assert again.restarts == []


def test_records_deleted_before_they_were_read_are_told_once(broker: Broker) -> None:
    for number in range(10):
        broker.send(b"k", str(number).encode())
    first = broker.consumer(Listener())
    records = take(first, 10)
    broker.producer("a").commit([], offsets_of(records[:2]), first.membership())
    first.close()
    place = records[0].topic, records[0].partition
    broker.delete_records({place: 6})

    listener = Listener()
    second = broker.consumer(listener)
    assert [r.value for r in take(second, 4)] == [b"6", b"7", b"8", b"9"]
    second.rewind()
    assert [r.value for r in take(second, 4)] == [b"6", b"7", b"8", b"9"]
    second.close()
    assert listener.restarts == [Restart(place, "retention", 2, 6, unread=4)]

    third = broker.consumer(again := Listener())
    take(third, 4)
    third.close()
    assert again.restarts == []


def test_records_deleted_before_a_running_consumer_gets_to_them_are_told(broker: Broker) -> None:
    """And so is what had been read, and was not committed when it went; nothing of it twice."""
    for value in (b"0", b"1"):
        broker.send(b"k", value)
    listener = Listener()
    consumer = broker.consumer(listener)
    (record, _) = take(consumer, 2)
    broker.producer("a").commit([], offsets_of([record]), consumer.membership())
    consumer.pause()
    for number in range(2, 10):
        broker.send(b"k", str(number).encode())
    place = record.topic, record.partition
    broker.delete_records({place: 6})
    consumer.resume()
    assert [r.value for r in take(consumer, 4)] == [b"6", b"7", b"8", b"9"]
    assert listener.restarts == [Restart(place, "retention", 2, 6, unread=4)]
    consumer.rewind()
    assert [r.value for r in take(consumer, 4)] == [b"6", b"7", b"8", b"9"]
    assert listener.restarts[1:] == [Restart(place, "retention", 1, 6, unread=1)]
    consumer.close()


def test_what_was_deleted_before_there_was_a_group_is_nobodys_loss(broker: Broker) -> None:
    for number in range(10):
        broker.send(b"k", str(number).encode())
    first = broker.consumer(Listener())
    (record, *_) = take(first, 10)
    first.close()
    broker.delete_records({(record.topic, record.partition): 6})
    second = broker.consumer(listener := Listener())
    assert [r.value for r in take(second, 4)] == [b"6", b"7", b"8", b"9"]
    second.close()
    assert listener.restarts == []


def test_an_offset_beyond_the_end_is_told_and_read_from_the_start(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(starts, "BELIEVED_AFTER_S", 1.0)
    for number in range(3):
        broker.send(b"k", str(number).encode())
    first = broker.consumer(Listener())
    (record, *_) = take(first, 3)
    place = record.topic, record.partition
    broker.producer("a").commit([], {place: 50}, first.membership())
    first.close()
    second = broker.consumer(listener := Listener())
    assert [r.value for r in take(second, 3)] == [b"0", b"1", b"2"]
    second.close()
    assert listener.restarts == [Restart(place, "truncated", 50, 0)]
