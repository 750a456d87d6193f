"""What the consumer on Apache Kafka does before there is any."""

import pytest

from tests.fakes.brokers import Listener
from worker.kafka.consumer import KafkaConsumer
from worker.kafka.places import Places
from worker.kafka.record import Record
from worker.settings import GroupProtocol


@pytest.mark.parametrize("protocol", ["classic", "consumer"])
def test_there_is_no_membership_before_the_group_is_joined(protocol: GroupProtocol) -> None:
    """Under the consumer protocol there is a member id from the start, and Kafka may believe it."""
    nowhere = {"bootstrap.servers": "127.0.0.1:1"}
    consumer = KafkaConsumer(nowhere, "group", "messages", Listener(), protocol)
    consumer.poll(1, 0.1)
    assert consumer.membership() is None
    consumer.close()


@pytest.mark.parametrize("protocol", ["classic", "consumer"])
def test_a_rebalance_served_by_a_client_that_has_left_its_group_is_no_error(protocol: GroupProtocol) -> None:
    """Seen on Kafka: closed with an assignment still to be served, the client no longer knows who it is."""
    listener = Listener()
    consumer = KafkaConsumer({"bootstrap.servers": "127.0.0.1:1"}, "group", "messages", listener, protocol)
    consumer.close()
    with pytest.raises(RuntimeError):
        consumer._consumer.memberid()
    consumer._noted.note()
    assert consumer.membership() is None


def test_offsets_are_held_against_the_end_of_their_partition() -> None:
    def records(partition: int, *offsets: int) -> list[Record]:
        return [Record("t", partition, offset, None, b"") for offset in offsets]

    ends = {("t", 0): 40, ("t", 1): -1}
    places = Places(ends.__getitem__, {**ends, ("t", 1): 9}.__getitem__, lambda _: 30)
    first, again = places.check([*records(0, 31, 35), *records(1, 7)])
    assert ([record.offset for record in first], again) == ([31, 35, 7], {})
    second, again = places.check([*records(0, 44, 45, 36), *records(1, 8)])
    assert [(record.offset, bool(record.fault)) for record in second] == [(36, True), (8, False)]
    assert again == {("t", 0): 37}
    places.forget([("t", 0)])
    (third,), again = places.check(records(0, 40))
    assert (third.offset, again) == (30, {("t", 0): 31})
