"""A range of offsets on a real Apache Kafka: to its end, committed records alone; what is gone is told."""

import secrets
from collections.abc import Iterator
from typing import Any

import confluent_kafka as ck
import pytest
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # public names that its types do not re-export
    AdminClient,
    NewTopic,
)

from worker.errors import BrokerError
from worker.kafka.span import Asked, SpanReader

NOW = 1_700_000_000_000


@pytest.fixture(scope="module")
def config(kafka_bootstrap: str) -> dict[str, Any]:
    return {"bootstrap.servers": kafka_bootstrap}


@pytest.fixture
def topic(config: dict[str, Any]) -> Iterator[str]:
    """A topic of two partitions with 20 records in each; it goes with the test."""
    name = f"span-{secrets.token_hex(4)}"
    admin = AdminClient(config)
    # The records are years old, and Kafka looks every five minutes for what is to go.
    admin.create_topics([NewTopic(name, 2, 1, config={"retention.ms": "-1"})])[name].result()
    producer = ck.Producer(config)
    for number in range(40):
        producer.produce(name, str(number), partition=number % 2, timestamp=NOW + number)
    assert producer.flush(10) == 0
    yield name
    admin.delete_topics([name])[name].result()


def read(config: dict[str, Any], asked: Asked) -> tuple[list[int], SpanReader]:
    with SpanReader(config, asked) as reader:
        values = sorted(int(record.value or b"-1") for record in reader.records())
        assert reader.done == reader.total
        return values, reader


def delete(config: dict[str, Any], topic: str, before: int) -> None:
    admin = AdminClient(config)  # kept until it has answered: a request goes with its client
    for deletion in admin.delete_records([ck.TopicPartition(topic, 0, before)]).values():
        deletion.result(20)


def test_what_is_asked_for_is_read_and_no_more(config: dict[str, Any], topic: str) -> None:
    assert read(config, Asked(topic))[0] == list(range(40))
    assert read(config, Asked(topic, (1,), 5, 8))[0] == [11, 13, 15]
    assert read(config, Asked(topic, last=10))[0] == list(range(30, 40))
    assert read(config, Asked(topic, since_ms=NOW + 36))[0] == [36, 37, 38, 39]
    assert read(config, Asked(topic, from_offset=20))[0] == []
    found, reader = read(config, Asked(topic, (0,), 18, 25))
    assert (found, reader.unwritten, reader.deleted) == ([36, 38], 5, 0)


def test_a_range_that_is_gone_is_counted(config: dict[str, Any], topic: str) -> None:
    delete(config, topic, 6)
    found, reader = read(config, Asked(topic, (0,), 2, 10))
    assert found == [12, 14, 16, 18]
    assert reader.deleted == 4
    assert read(config, Asked(topic, (0,), 0, 4))[1].deleted == 4


def test_what_is_deleted_before_it_was_read_is_counted(config: dict[str, Any], topic: str) -> None:
    with SpanReader(config, Asked(topic, (0,))) as reader:
        delete(config, topic, 12)
        found = [int(record.value or b"") for record in reader.records()]
        assert found == list(range(24, 40, 2))
        assert reader.deleted == 12
        assert reader.done == reader.total == 20


def test_aborted_records_and_open_transactions_are_not_read(config: dict[str, Any], topic: str) -> None:
    producer = ck.Producer({**config, "transactional.id": secrets.token_hex(4)})
    producer.init_transactions(10)
    for end in ("abort", "open"):
        producer.begin_transaction()
        producer.produce(topic, b"999", partition=0)
        producer.flush(10)
        if end == "abort":
            producer.abort_transaction(10)
    assert 999 not in read(config, Asked(topic))[0]  # and it comes to its end
    producer.abort_transaction(10)


def test_it_joins_no_group_and_commits_nothing(config: dict[str, Any], topic: str) -> None:
    before = {group.group_id for group in AdminClient(config).list_consumer_groups().result().valid}
    read(config, Asked(topic))
    after = {group.group_id for group in AdminClient(config).list_consumer_groups().result().valid}
    assert "mimamori-reader" not in after - before


def test_what_is_not_there_is_named(config: dict[str, Any], topic: str) -> None:
    with pytest.raises(BrokerError, match=f"{topic} has no partition 7: it has 0 to 1"):
        SpanReader(config, Asked(topic, (0, 7)))
    with pytest.raises(BrokerError, match="topic nowhere is not there"):
        SpanReader(config, Asked("nowhere"))
