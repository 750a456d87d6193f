"""Turns what the client fetched into the stations' records. Nothing that a producer can write raises here.

value, key    bytes, unchanged: `decode.py` judges the value, and a key stays bytes
headers       None where they cannot be read: the message loses its trace, but not its label
timestamp     0 where it is negative or missing: the producer sets it, and only the latency metric uses it
offset        see `places.py`
"""

import operator
from collections.abc import Iterator
from typing import cast

import confluent_kafka as ck

from worker.kafka.record import Headers, Record

AT_ONCE = 20
MOST_HEADERS = 1000  # a record of 2 MiB can hold a million headers, of which the client reads 100,000
# This is used instead of `message.headers()`. For a name that is not UTF-8, the client returns a list with a
# NULL entry and leaves an exception set. CPython's specialised call of a C method does not check for that:
# the exception appears somewhere else, and reading the name crashes the process. A call through `operator` is
# always checked.
_ask_for_headers = operator.methodcaller("headers")


def consume(consumer: ck.Consumer, limit: int, timeout_s: float) -> Iterator[ck.Message]:
    """Yield up to `limit` messages, waiting only for the first.

    The client's own `consume` waits for all of them. Messages are taken a few at a time, and each is released
    once it is read: a record of 300 kB can hold 100,000 headers, which take 13 MB in the client, and a poll
    of 200 such records took 2.6 GB.
    """
    few, wait_s = 1, timeout_s
    while limit > 0 and (messages := consumer.consume(min(few, limit), wait_s)):
        limit -= len(messages)
        few, wait_s = AT_ONCE, 0.0
        messages.reverse()
        while messages:
            yield messages.pop()


def to_record(message: ck.Message) -> Record:
    """The record of a fetched message."""
    kind, timestamp = message.timestamp()
    # The library's types make every part optional, but a message without an error has them all.
    place = message.topic(), message.partition(), message.offset()
    topic, partition, offset = cast("tuple[str, int, int]", place)
    return Record(
        topic,
        partition,
        offset,
        message.key(),
        message.value(),
        0 if kind == ck.TIMESTAMP_NOT_AVAILABLE else max(0, timestamp),
        _headers(message),
    )


def _headers(message: ck.Message) -> Headers | None:
    """All headers; None where the client cannot read them, or there are too many to be meant."""
    try:
        headers = cast("Headers", _ask_for_headers(message) or [])
    except (SystemError, UnicodeDecodeError):  # a header's name is not UTF-8
        return None
    return headers if len(headers) <= MOST_HEADERS else None
