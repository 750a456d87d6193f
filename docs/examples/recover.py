# ruff: noqa: INP001 - a script, to be copied
"""For the day after: find where workers stood, send messages once more. It needs confluent_kafka alone.

    recover.py positions                     where the workers stood, by the outcomes that they wrote
    recover.py positions --commit            … and put their group there; no worker may run
    recover.py send-again --dead-letters [--reason unknown_task]
    recover.py send-again --bundle FINGERPRINT [--verdict clear]
                                             count the messages behind these dead letters or labels;
                                             with --send they are sent once more, however often it is run

--since 2026-11-26T08:00+00:00 leaves out older outcomes, --until what was written from then on. As for a
worker, MIMAMORI_BOOTSTRAP is 127.0.0.1:9092 unless set, MIMAMORI_TOPIC_PREFIX mimamori. and MIMAMORI_GROUP,
the workers' group, mimamori. KAFKA_CONFIG, a JSON object, adds settings of librdkafka (TLS, SASL). Nothing
of a text is printed.

Labels in Avro (MIMAMORI_LABEL_FORMAT) need confluent-kafka[avro,schemaregistry], and SCHEMA_REGISTRY_CONFIG,
a JSON object of its client's settings: {"url": "http://registry:8081"}.
"""

import argparse
import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from functools import cache
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

PREFIX = os.environ.get("MIMAMORI_TOPIC_PREFIX", "mimamori.")
GROUP = os.environ.get("MIMAMORI_GROUP", "mimamori")
KAFKA: dict[str, Any] = {
    "bootstrap.servers": os.environ.get("MIMAMORI_BOOTSTRAP", "127.0.0.1:9092"),
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
    known = partitions(consumer, topic)
    starts = [TopicPartition(topic, number, 0) for number in known]
    if since is not None:
        at = [TopicPartition(topic, number, int(since.timestamp() * 1000)) for number in known]
        starts = consumer.offsets_for_times(at, TIMEOUT_S)
    consumer.close()
    return starts


def partitions(consumer: Consumer, topic: str) -> list[int]:
    """The numbers of a topic's partitions."""
    found = consumer.list_topics(topic, TIMEOUT_S).topics[topic]
    if found.error is not None:  # it is missing, or a right is: not the same as empty
        sys.exit(f"{topic}: {found.error.str()}; nothing was changed")
    return sorted(found.partitions)


def outcomes(
    topic: str, since: datetime | None, until: datetime | None = None
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield the labels or dead letters about the messages topic, each with the millisecond it was written."""
    for record in records(whole(topic, since)):
        event = event_of(record.value() or b"null")
        _, at = record.timestamp()
        if until is not None and at >= until.timestamp() * 1000:
            continue
        if event is not None and event["origin"]["topic"] == MESSAGES:
            yield at, event


def event_of(value: bytes) -> Any:
    """An event; a label may stand behind the five bytes of a schema registry's frame, as JSON or as Avro."""
    if value[:1] != b"\0":
        return json.loads(value)
    return json.loads(value[5:]) if value[5:6] == b"{" else from_avro()(value, None)


@cache
def from_avro() -> Callable[[bytes, None], Any]:
    """What reads Avro with the schemas of the registry."""
    config = os.environ.get("SCHEMA_REGISTRY_CONFIG")
    try:
        from confluent_kafka.schema_registry import SchemaRegistryClient  # noqa: PLC0415 - an extra of it
        from confluent_kafka.schema_registry.avro import AvroDeserializer  # noqa: PLC0415 - as above
    except ImportError:
        config = None
    if config is None:
        sys.exit(
            "labels are in Avro: set SCHEMA_REGISTRY_CONFIG, and install "
            "confluent-kafka[avro,schemaregistry]; nothing was changed"
        )
    found: Callable[[bytes, None], Any] = AvroDeserializer(SchemaRegistryClient(json.loads(config)))
    return found


def place(event: dict[str, Any]) -> Place:
    """Where the record stands that it is about."""
    return event["origin"]["partition"], event["origin"]["offset"]


def positions(since: datetime | None, *, commit: bool) -> None:
    """Every record before a place has its outcome: workers commit in order, with the outcomes."""
    if commit:
        refuse_members()
    # The newest outcome, and not the highest offset: a topic that was made again begins at zero.
    newest: dict[int, tuple[int, int]] = {}
    for topic in (LABELS, DEAD_LETTERS):
        for at, event in outcomes(topic, since):
            partition, offset = place(event)
            newest[partition] = max(newest.get(partition, (0, 0)), (at, offset + 1))
    found = {partition: after for partition, (_, after) in newest.items()}
    consumer = Consumer(KAFKA | {"group.id": GROUP, "enable.auto.commit": False})
    known = partitions(consumer, MESSAGES)
    for number in known:
        print(f"{MESSAGES} {number}: {found.get(number, 'no outcome: it would be read from its start')}")
    for number, after in found.items():
        if number not in known or after > end(consumer, number):
            sys.exit(
                f"not committed: {MESSAGES} {number} ends before {after}, so it was made again since: give "
                "--since that moment"
            )
    if commit:
        print(f"the group {GROUP} at {KAFKA['bootstrap.servers']} goes there")
        try:
            places = [TopicPartition(MESSAGES, *each) for each in found.items()]
            answers = consumer.commit(offsets=places, asynchronous=False) if places else []
        except KafkaException as error:
            sys.exit(f"not committed: stop every worker of the group {GROUP} first ({error.args[0].str()})")
        refused = [f"{each.partition}: {each.error.str()}" for each in answers if each.error is not None]
        if refused:
            sys.exit(f"not committed for {len(refused)} partitions ({', '.join(refused)}): run it again")
        print(f"committed for the group {GROUP}")
    consumer.close()


def end(consumer: Consumer, partition: int) -> int:
    """Where the next record of a partition of the messages topic will stand."""
    _, high = consumer.get_watermark_offsets(TopicPartition(MESSAGES, partition), TIMEOUT_S)
    return high


def refuse_members() -> None:
    """End where somebody reads for the group. Kafka refuses the commit as well, if one joins after this."""
    admin = AdminClient(KAFKA)  # its answers come as long as it lives
    try:
        described = admin.describe_consumer_groups([GROUP], request_timeout=TIMEOUT_S)[GROUP].result()
    except KafkaException as error:
        if error.args[0].code() == KafkaError.GROUP_ID_NOT_FOUND:
            return  # it was deleted
        raise
    if described.members:
        sys.exit(
            f"not committed: the group {GROUP} at {KAFKA['bootstrap.servers']} has {len(described.members)} "
            "members: stop every worker of it first"
        )


def send_again(wanted: set[Place], *, send: bool) -> None:
    """Find the records at these places; send those to the same partitions that were not sent again before.

    All are read before any is sent, and held in memory: a copy stands after its record, and has the header.
    """
    first: dict[int, int] = {}
    for partition, offset in wanted:
        first[partition] = min(first.get(partition, offset), offset)
    found: dict[Place, Message] = {}
    before: set[Place] = set()
    for record in records([TopicPartition(MESSAGES, *each) for each in first.items()]):
        where = (record.partition() or 0, record.offset() or 0)
        headers: list[Any] = list(record.headers() or [])
        if copied := [value for name, value in headers if name == AGAIN]:
            before |= {where, *map(told, copied)}
        elif where in wanted:
            found[where] = record
    left = {where: record for where, record in found.items() if where not in before}
    gone = len(wanted - before) - len(left)
    print(f"{len(left)} to send, {len(wanted & before)} sent again before, {gone} no longer kept")
    if send:
        produce(left)


def told(value: Any) -> Place:
    """The place that the header of a copy names."""
    partition, _, offset = bytes(value or b"").partition(b":")
    return (int(partition), int(offset)) if partition.isdigit() and offset.isdigit() else (-1, -1)


def produce(left: Mapping[Place, Message]) -> None:
    """Send them, and wait until Kafka has answered for each. Ends with status 1 if it has not taken all."""
    producer = Producer(KAFKA | {"enable.idempotence": True})
    taken: list[int] = []
    refused: list[str] = []

    def delivered(error: Any, record: Any) -> None:
        if error is None:
            taken.append(record.offset())
        else:
            refused.append(str(error))

    for (partition, offset), record in left.items():
        headers: list[Any] = [*(record.headers() or []), (AGAIN, f"{partition}:{offset}".encode())]
        while True:
            try:
                producer.produce(
                    MESSAGES, record.value(), record.key(), partition, headers=headers, on_delivery=delivered
                )
            except BufferError:  # as many are under way as the client keeps
                producer.poll(1)
                continue
            except KafkaException as error:  # too large, say
                refused.append(str(error.args[0]))
            break
        producer.poll(0)
    unsent = producer.flush(2 * TIMEOUT_S)
    print(f"{len(taken)} sent")
    if refused or unsent:
        why = f" ({refused[0]})" if refused else ""
        sys.exit(
            f"{len(refused)} refused{why}, {unsent} without an answer: run it again once that is mended; "
            "what Kafka has taken is not sent twice"
        )


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
        command.add_argument("--until", type=datetime.fromisoformat)
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
        letters = outcomes(DEAD_LETTERS, given.since, given.until)
        wanted = {place(each) for _, each in letters if given.reason in {None, each["reason"]}}
        send_again(wanted, send=given.send)
    else:
        found = outcomes(LABELS, given.since, given.until)
        labels = (each for _, each in found if each["bundle"].startswith(given.bundle))
        wanted = {place(each) for each in labels if given.verdict in {None, each["verdict"]}}
        send_again(wanted, send=given.send)


if __name__ == "__main__":
    main()
