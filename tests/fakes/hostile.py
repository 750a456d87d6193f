"""Makes records as a broken, careless or hostile producer writes them. A seed always gives the same records.

They are written below the API of any client (`raw_kafka.py`). The texts are harmless, but their records are
not.
"""

import gzip
import json
import random
from collections.abc import Iterator
from dataclasses import dataclass

from tests.fakes.raw_kafka import GZIP, RawRecord, batch_bytes, record_bytes

LONE_SURROGATE = r'"\ud800"'
FRAGMENTS = (
    "null", "true", "NaN", "-Infinity", "1e999999", "-0.0", "9" * 5000, '""', '"\\u0000\\u001f"',
    '"\\ud83d\\ude00"', '"\u202e\u2066"', "[]", "{}", "[" * 3000, "[" * 300 + "]" * 300, '{"a":1,"a":2}',
    json.dumps("k" * 256), json.dumps("\x01" * 256), json.dumps("k" * 257), LONE_SURROGATE,
    json.dumps("fine, thanks " * 9000), '"0001-01-01T00:00:00+23:59"', '"9999-12-31T23:59:59-23:59"',
    '"2026-02-30T00:00:00Z"', '"xx-\\u0000-YY"',
)  # fmt: skip
FIELDS = (
    "id",
    "text",
    "task",
    "conversation_id",
    "author_id",
    "language",
    "sent_at",
    "something",
    "",
    "\\u0000",
)
TIMES = (0, -1, -(2**40), 1, 1_700_000_000_000, 4_102_444_800_000, 2**62)
HUGE_SHARE = 0.004  # the share of records of about a megabyte


@dataclass(frozen=True)
class Hostile:
    """A batch for Kafka. `labels` says of each record whether it must be labelled; None allows either."""

    content: bytes
    labels: list[bool | None]


def hostile_batches(seed: int, records: int) -> Iterator[Hostile]:
    """Yield batches that have `records` records in all."""
    rng = random.Random(seed)  # noqa: S311 - not a secret
    left = records
    while left:
        count = min(left, rng.randint(1, 12))
        left -= count
        pairs = [_record(rng) for _ in range(count)]
        payload = b"".join(record_bytes(record, place) for place, (record, _) in enumerate(pairs))
        attributes = rng.choice([0, 0, GZIP])
        if attributes:
            payload = gzip.compress(payload)
        batch = batch_bytes(payload, count, timestamp=rng.choice(TIMES), attributes=attributes)
        yield Hostile(batch, [label for _, label in pairs])


def garbage_batches(rng: random.Random) -> list[bytes]:
    """Make batches that no consumer could decode, with valid checksums. Kafka refuses each of them."""
    record = record_bytes(RawRecord(_message(rng)), 0)
    return [
        *(batch_bytes(rng.randbytes(40), 1, attributes=codec) for codec in (1, 2, 3, 4, 7)),
        batch_bytes(gzip.compress(rng.randbytes(40)), 1, attributes=GZIP),
        batch_bytes(gzip.compress(record[:-4]), 1, attributes=GZIP),
        batch_bytes(gzip.compress(record), 2, attributes=GZIP),
        batch_bytes(record, 2),
        batch_bytes(record, 0),
        batch_bytes(record, 1, last_offset_delta=9),
        batch_bytes(record, 1, attributes=0x20),
        batch_bytes(record + b"more", 1),
    ]


def _record(rng: random.Random) -> tuple[RawRecord, bool | None]:
    value, label = _value(rng)
    return RawRecord(value, _key(rng), _headers(rng)), label


def _value(rng: random.Random) -> tuple[bytes | None, bool | None]:  # noqa: PLR0911 - one return per kind
    match rng.randrange(8):
        case 0:
            return rng.choice([None, b"", b"\0", b" ", b"null", b"[]", b'"text"']), False
        case 1:
            return rng.randbytes(rng.randint(1, 400)), None
        case 2:
            damaged = bytearray(_message(rng))
            for _ in range(rng.randint(1, 4)):
                damaged[rng.randrange(len(damaged))] = rng.randrange(256)
            return bytes(damaged), None
        case 3:
            return _message(rng)[: rng.randint(1, 20)], False
        case 4:
            return b"\xef\xbb\xbf" + _message(rng), False
        case 5 | 6:
            fields = [f'"{rng.choice(FIELDS)}":{rng.choice(FRAGMENTS)}' for _ in range(rng.randint(1, 5))]
            if rng.random() < 0.5:
                fields += ['"id":"m"', '"text":"quiet evening"']
            return ("{" + ",".join(fields) + "}").encode("utf-8", "surrogatepass"), None
        case _:
            return _message(rng), True


def _message(rng: random.Random) -> bytes:
    return json.dumps({"id": f"m{rng.random()}", "text": f"quiet evening {rng.random()}"}).encode()


def _key(rng: random.Random) -> bytes | None:
    if rng.random() < HUGE_SHARE:
        return b"k" * 1_000_000
    return rng.choice([None, b"", b"\xff\xfe", b"k" * 5000, b"\0", rng.randbytes(8)])


def _headers(rng: random.Random) -> list[tuple[bytes, bytes | None]]:
    if rng.random() < HUGE_SHARE:
        return rng.choice([[(b"h", b"x" * 900_000)], [(b"%d" % n, None) for n in range(100_000)]])
    names = (
        b"traceparent",
        b"ce_id",
        b"",
        b"\0",
        b"\xff",
        b"\xed\xa0\x80",
        b"\xc3",
        b"a" * 300,
        b"caf\xc3\xa9",
    )
    trace = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    values = (None, b"", b"\xff\xfe", trace, trace[:-1], b"x" * 5000, rng.randbytes(6))
    return [(rng.choice(names), rng.choice(values)) for _ in range(rng.randrange(5))]
