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
