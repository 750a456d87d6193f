# ruff: noqa: INP001 - a script, to be copied
"""For the day after: find where workers stood, send messages once more. It needs confluent_kafka alone.

    recover.py positions                     where the workers stood, by the outcomes that they wrote
    recover.py positions --commit            … and put their group there; no worker may run
    recover.py send-again --dead-letters [--reason unknown_task]
    recover.py send-again --bundle FINGERPRINT [--verdict clear]
                                             count the messages behind these dead letters or labels;
                                             with --send they are sent once more

--since 2026-11-26T08:00+00:00 leaves out older outcomes. KAFKA_BOOTSTRAP is localhost:9092 unless set;
TOPIC_PREFIX is mimamori. and KAFKA_GROUP, the workers' group, mimamori; KAFKA_CONFIG, a JSON object, adds
settings of librdkafka (TLS, SASL). Nothing of a text is printed.
"""

import argparse
import json
import os
import sys
from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition

PREFIX = os.environ.get("TOPIC_PREFIX", "mimamori.")
GROUP = os.environ.get("KAFKA_GROUP", "mimamori")
KAFKA: dict[str, Any] = {
    "bootstrap.servers": os.environ.get("KAFKA_BOOTSTRAP", "localhost:9092"),
    **json.loads(os.environ.get("KAFKA_CONFIG", "{}")),
}
MESSAGES, LABELS, DEAD_LETTERS = (PREFIX + name for name in ("messages", "labels", "dead-letters"))
AGAIN = "sent-again"  # the header of a message that was sent once more; its value says where it stood
TIMEOUT_S = 30

Place = tuple[int, int]  # partition and offset


def reader() -> Consumer:
    """A consumer that is in no group, and commits nothing."""
    # librdkafka wants a name, though it assigns partitions by itself.
    own = {"group.id": f"{GROUP}-recover", "enable.auto.commit": False, "isolation.level": "read_committed"}
    return Consumer(KAFKA | own | {"enable.partition.eof": True, "auto.offset.reset": "earliest"})


def records(starts: list[TopicPartition]) -> Iterator[Message]:
    """Yield what stands from these places to the ends of today. Raises KafkaException."""
    consumer = reader()
    consumer.assign(starts)
    open_ends = {each.partition for each in starts}
    while open_ends:
        record = consumer.poll(TIMEOUT_S)
        if record is None:
            sys.exit("Kafka does not answer: nothing was changed")
        error = record.error()
        if error is None:
            yield record
        elif error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 - its name
            open_ends.discard(record.partition() or 0)
        else:
            raise KafkaException(error)
    consumer.close()


def whole(topic: str, since: datetime | None) -> list[TopicPartition]:
    """The partitions of a topic, from their start or from a time."""
    consumer = reader()
    known = consumer.list_topics(topic, TIMEOUT_S).topics[topic].partitions
    starts = [TopicPartition(topic, number, 0) for number in known]
    if since is not None:
        at = [TopicPartition(topic, number, int(since.timestamp() * 1000)) for number in known]
        starts = consumer.offsets_for_times(at, TIMEOUT_S)
    consumer.close()
    return starts


def outcomes(topic: str, since: datetime | None) -> Iterator[dict[str, Any]]:
    """Yield the labels or dead letters that are about a record of the messages topic."""
    for record in records(whole(topic, since)):
        event = json.loads(record.value() or b"null")
        if event is not None and event["origin"]["topic"] == MESSAGES:
            yield event


def place(event: dict[str, Any]) -> Place:
    """Where the record stands that it is about."""
    return event["origin"]["partition"], event["origin"]["offset"]


def positions(since: datetime | None, *, commit: bool) -> None:
    """Every record before a place has its outcome: workers commit in order, with the outcomes."""
    found: dict[int, int] = {}
    for topic in (LABELS, DEAD_LETTERS):
        for event in outcomes(topic, since):
            partition, offset = place(event)
            found[partition] = max(found.get(partition, 0), offset + 1)
    for start in sorted(whole(MESSAGES, None), key=lambda each: each.partition):
        told = found.get(start.partition, "no outcome: it would be read from its start")
        print(f"{MESSAGES} {start.partition}: {told}")
    if not commit:
        return
    consumer = Consumer(KAFKA | {"group.id": GROUP, "enable.auto.commit": False})
    try:
        consumer.commit(
            offsets=[TopicPartition(MESSAGES, *each) for each in found.items()], asynchronous=False
        )
    except KafkaException as error:
        sys.exit(f"not committed: stop every worker of the group {GROUP} first ({error.args[0].str()})")
    consumer.close()
    print(f"committed for the group {GROUP}")


def send_again(wanted: set[Place], *, send: bool) -> None:
    """Find the records at these places; send them to the same partitions, once and not twice."""
    first: dict[int, int] = {}
    for partition, offset in wanted:
        first[partition] = min(first.get(partition, offset), offset)
    producer = Producer(KAFKA | {"enable.idempotence": True})
    counts: Counter[str] = Counter()
    for record in records([TopicPartition(MESSAGES, *each) for each in first.items()]):
        where = (record.partition() or 0, record.offset() or 0)
        if where not in wanted:
            continue
        headers: list[Any] = list(record.headers() or [])
        if any(name == AGAIN for name, _ in headers):
            counts["before"] += 1
            continue
        counts["found"] += 1
        if send:
            headers.append((AGAIN, f"{where[0]}:{where[1]}".encode()))
            producer.produce(MESSAGES, record.value(), record.key(), where[0], headers=headers)
            producer.poll(0)
    gone = len(wanted) - counts.total()
    print(f"{counts['found']} to send, {counts['before']} sent again before, {gone} no longer kept")
    if send and producer.flush(TIMEOUT_S):
        sys.exit("Kafka did not take all of them: begin again with those that have no new label")
    if send:
        print(f"{counts['found']} sent")


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(usage=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for name in ("positions", "send-again"):
        command = commands.add_parser(name)
        command.add_argument("--since", type=datetime.fromisoformat)
        if name == "positions":
            command.add_argument("--commit", action="store_true")
            continue
        which = command.add_mutually_exclusive_group(required=True)
        which.add_argument("--dead-letters", action="store_true")
        which.add_argument("--bundle")
        command.add_argument("--reason")
        command.add_argument("--verdict")
        command.add_argument("--send", action="store_true")
    given = parser.parse_args()
    if given.command == "positions":
        positions(given.since, commit=given.commit)
    elif given.dead_letters:
        letters = outcomes(DEAD_LETTERS, given.since)
        wanted = {place(each) for each in letters if given.reason in {None, each["reason"]}}
        send_again(wanted, send=given.send)
    else:
        labels = (each for each in outcomes(LABELS, given.since) if each["bundle"].startswith(given.bundle))
        wanted = {place(each) for each in labels if given.verdict in {None, each["verdict"]}}
        send_again(wanted, send=given.send)


if __name__ == "__main__":
    main()
