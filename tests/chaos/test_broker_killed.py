"""A commit that meets the death of the only broker ends, one way or the other, once the broker is back."""

import threading
import time
from contextlib import suppress

from mimamori.sandbox import Sandbox
from schemas import load_topics
from tests.fakes.brokers import Listener
from worker.errors import BrokerError, RetryableError
from worker.kafka.consumer import KafkaConsumer
from worker.kafka.producer import KafkaProducer
from worker.kafka.record import Outbound
from worker.kafka.topics import apply_topics


def test_a_commit_returns_after_the_only_broker_was_killed() -> None:
    with Sandbox(redis=False) as sandbox:
        config = {"bootstrap.servers": sandbox.bootstrap}
        apply_topics(config, load_topics("t.", partitions=1, replication_factor=1))
        consumer = KafkaConsumer(config, "t", "t.messages", Listener())
        deadline = time.monotonic() + 20
        while consumer.membership() is None:
            assert time.monotonic() < deadline
            consumer.poll(1, 0.1)
        producer = KafkaProducer(config, "t")
        outcome = [Outbound("t.labels", b"k", b"v", [])]
        producer.commit(outcome, {("t.messages", 0): 1}, consumer.membership())
        ended = threading.Event()

        def commit() -> None:
            with suppress(RetryableError, BrokerError):  # aborted, or ended with a reason: both go on
                producer.commit(outcome, {("t.messages", 0): 2}, consumer.membership())
            ended.set()

        sandbox.kill_kafka()
        threading.Thread(target=commit, daemon=True).start()
        sandbox.start_kafka()
        assert ended.wait(45), "the commit never returned"
        producer.close()
        consumer.close()
