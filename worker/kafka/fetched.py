"""What the client has fetched, as the stations know it: nothing that a producer can write raises here.

value, key    bytes, untouched: `decode.py` judges the value, and a key is bytes wherever it goes
headers       None where they cannot be read: the trace is lost, and not a person's label
timestamp     0 where it is negative or none: it is a producer's claim, and only the latency metric reads it
offset        see `places.py`
"""

import operator
from collections.abc import Iterator
from typing import cast

import confluent_kafka as ck

from worker.kafka.record import Headers, Record

AT_ONCE = 20
MOST_HEADERS = 1000  # a record of 2 MiB has room for a million, of which the client reads 100,000
# Not `message.headers()`. Of a name that is not UTF-8 the client gives a list with a hole and leaves the
# error set. Python's own call of a C method, once it is warm, does not look: the error comes up somewhere
# else, and whoever reads the name ends the process. A call through `operator` is always looked at.
_ask_for_headers = operator.methodcaller("headers")


def consume(consumer: ck.Consumer, limit: int, timeout_s: float) -> Iterator[ck.Message]:
    """Up to `limit` messages, waiting only for the first: the client's own `consume` waits for them all.

    A few at a time, each forgotten once it is read: a record of 300 kB can hold 100,000 headers, which are
    13 MB in the client, and a poll of 200 such records was 2.6 GB.
    """
    few, wait_s = 1, timeout_s
    while limit > 0 and (messages := consumer.consume(min(few, limit), wait_s)):
        limit -= len(messages)
        few, wait_s = AT_ONCE, 0.0
        messages.reverse()
        while messages:
            yield messages.pop()


def to_record(message: ck.Message) -> Record:
    """A fetched message as the stations know it."""
    kind, timestamp = message.timestamp()
    # The library's types leave every part optional; a message without an error has them all.
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
    """All headers; None where the client cannot read them, or there are more than anyone means."""
    try:
        headers = cast("Headers", _ask_for_headers(message) or [])
    except (SystemError, UnicodeDecodeError):  # a name that is not UTF-8
        return None
    return headers if len(headers) <= MOST_HEADERS else None
