# ruff: noqa: INP001 - a script, to be copied
"""Sends messages to Mimamori, and reads what comes back. Copy it: it needs confluent_kafka alone.

python connect.py send < messages.jsonl     one message a line: {"id": …, "text": …}
python connect.py read                      until Ctrl-C or SIGTERM
"""

import json
import os
import signal
import sys
from collections.abc import Callable
from typing import Any, TypedDict

from confluent_kafka import Consumer, KafkaException, Producer

KAFKA = {
    "bootstrap.servers": os.environ.get("KAFKA_BOOTSTRAP", "localhost:9092"),
    **json.loads(os.environ.get("KAFKA_CONFIG", "{}")),  # TLS and a login
}
PREFIX = os.environ.get("TOPIC_PREFIX", "mimamori.")
GROUP = os.environ.get("KAFKA_GROUP", "platform")


# Of each event, the fields that this program uses. There are more, and there will be more: pass over them.
class Label(TypedDict):
    """The outcome of a message that was screened."""

    id: str
    message_id: str
    verdict: str  # clear, at_risk or uncertain


class Origin(TypedDict):
    """The record of yours that an event is about."""

    topic: str
    partition: int
    offset: int


class DeadLetter(TypedDict):
    """The outcome of a record that could not be screened."""

    id: str
    origin: Origin
    reason: str


class ReviewDecision(TypedDict):
    """What a person found."""

    id: str
    message_id: str
    finding: str  # at_risk, not_at_risk or unsure
    severity: str | None  # a level of the task, where the finding is at_risk


def send(lines: Any) -> None:
    """Send each line as a message. Ends with status 1 if Kafka has not taken all of them."""
    # murmur2 is what Java's clients use: without it, one conversation's messages from two programs may stand
    # in two partitions, and their labels are in no order.
    producer = Producer(KAFKA | {"enable.idempotence": True, "partitioner": "murmur2_random"})
    refused: list[str] = []

    def delivered(error: Any, _record: Any) -> None:
        if error is not None:
            refused.append(str(error))

    for line in lines:
        message = json.loads(line)
        key = message.get("conversation_id") or message["id"]
        while True:
            try:
                producer.produce(PREFIX + "messages", line.strip(), key, on_delivery=delivered)
                break
            except BufferError:  # as many are under way as the client keeps
                producer.poll(1)
        producer.poll(0)
    unsent = producer.flush(60)
    if refused or unsent:
        sys.exit(f"{len(refused)} refused, {unsent} unsent: {refused[:1]}")


def read() -> None:
    """Call on_… for each event, once for each id as long as this process lives."""
    consumer = Consumer(
        KAFKA
        | {
            "group.id": GROUP,
            "isolation.level": "read_committed",  # otherwise you read outcomes that were taken back
            "auto.offset.reset": "earliest",
            "enable.auto.offset.store": False,  # an event counts as read when it was acted on, not before
        }
    )
    on: dict[str, Callable[[Any], None]] = {
        PREFIX + "labels": on_label,
        PREFIX + "dead-letters": on_dead_letter,
        PREFIX + "review-decisions": on_decision,
    }
    consumer.subscribe(list(on))
    seen: set[str] = set()  # better: a unique key in your database, in the transaction of what you do
    stopping: list[int] = []
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda got, _: stopping.append(got))
    while not stopping:
        record = consumer.poll(1)
        if record is None:
            continue
        if error := record.error():
            if error.fatal():
                raise KafkaException(error)
            print(error.str(), file=sys.stderr)  # the client tries again by itself
            continue
        event = json.loads(record.value() or b"null")
        if event is not None and event["id"] not in seen:
            on[record.topic() or ""](event)
            seen.add(event["id"])
        consumer.store_offsets(record)
    consumer.close()


def on_label(label: Label) -> None:
    """Do nothing to a person here: a label decides nothing."""
    print("label", label["message_id"], label["verdict"], flush=True)


def on_dead_letter(letter: DeadLetter) -> None:
    """Have it looked at: nobody has read this record."""
    origin = letter["origin"]
    print("dead-letter", f"{origin['partition']}:{origin['offset']}", letter["reason"], flush=True)


def on_decision(decision: ReviewDecision) -> None:
    """Here it is a person who says it."""
    print("decision", decision["message_id"], decision["finding"], decision["severity"] or "-", flush=True)


if __name__ == "__main__":
    if sys.argv[1:] == ["send"]:
        send(sys.stdin)
    elif sys.argv[1:] == ["read"]:
        read()
    else:
        sys.exit(__doc__)
