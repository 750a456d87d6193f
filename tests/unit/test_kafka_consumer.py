"""What the consumer on Apache Kafka does before there is any."""

import pytest

from tests.contract.test_broker_contract import Listener
from worker.kafka.consumer import KafkaConsumer
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
    consumer._note_membership()
    assert consumer.membership() is None
