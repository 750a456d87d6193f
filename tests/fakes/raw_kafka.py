"""Writes to Kafka below the API of any client: a Produce request whose record batches are built by hand.

A client refuses to write a header whose name is not UTF-8, a batch marked as compressed that is not, or a
wrong count of records. A broker accepts whatever passes its own checks, and so the worker must, too.
Formats: https://kafka.apache.org/documentation/#messageformat and https://kafka.apache.org/protocol
"""

import socket
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from aiokafka.record.util import calc_crc32c  # type: ignore[import-untyped]  # ships no types

PRODUCE = 0
GZIP = 1


@dataclass(frozen=True)
class RawRecord:
    """The contents of a record. Header names are bytes, because nothing forces them to be UTF-8."""

    value: bytes | None
    key: bytes | None = None
    headers: Sequence[tuple[bytes, bytes | None]] = ()


def record_bytes(record: RawRecord, place: int, timestamp_delta: int = 0) -> bytes:
    """Encode one record of a batch, preceded by its length."""
    body = b"".join(
        (
            b"\0",
            _varint(timestamp_delta),
            _varint(place),
            _nullable(record.key),
            _nullable(record.value),
            _varint(len(record.headers)),
            *(part for name, value in record.headers for part in (_nullable(name), _nullable(value))),
        )
    )
    return _varint(len(body)) + body


def batch_bytes(
    payload: bytes,
    count: int,
    *,
    timestamp: int = 1_700_000_000_000,
    attributes: int = 0,
    last_offset_delta: int | None = None,
) -> bytes:
    """Encode a record batch (magic 2) around `payload`. The checksum is valid whatever the rest claims."""
    checked = struct.pack(
        ">hiqqqhii",
        attributes,
        count - 1 if last_offset_delta is None else last_offset_delta,
        timestamp,
        timestamp,
        -1,
        -1,
        -1,
        count,
    )
    checked += payload
    return struct.pack(">qiibI", 0, len(checked) + 9, -1, 2, calc_crc32c(checked)) + checked


def batch_of(records: Sequence[RawRecord], *, timestamp: int = 1_700_000_000_000) -> bytes:
    """Encode a valid batch of records that no client would write."""
    return batch_bytes(
        b"".join(record_bytes(record, place) for place, record in enumerate(records)),
        len(records),
        timestamp=timestamp,
    )


class RawProducer:
    """One connection to a broker, as a context manager."""

    def __init__(self, bootstrap: str) -> None:
        host, _, port = bootstrap.rpartition(":")
        self._connection = socket.create_connection((host, int(port)), timeout=30)

    def send(self, topic: str, partition: int, batch: bytes) -> int:
        """Produce one batch and await the answer; return Kafka's error code, 0 if the batch was accepted."""
        body = struct.pack(">hhii", -1, -1, 30_000, 1) + _string(topic.encode())
        body += struct.pack(">iii", 1, partition, len(batch)) + batch
        request = struct.pack(">hhi", PRODUCE, 3, 1) + _string(b"raw") + body
        self._connection.sendall(struct.pack(">i", len(request)) + request)
        (size,) = struct.unpack(">i", self._exactly(4))
        answer = self._exactly(size)
        # The error code follows the correlation id, one topic with its name, and one partition's number.
        (code,) = struct.unpack_from(">h", answer, 4 + 4 + 2 + len(topic.encode()) + 4 + 4)
        return int(code)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def _exactly(self, size: int) -> bytes:
        received = bytearray()
        while len(received) < size:
            piece = self._connection.recv(size - len(received))
            if not piece:
                raise ConnectionResetError("the broker closed the connection")
            received += piece
        return bytes(received)


def _varint(value: int) -> bytes:
    """Encode an integer in zigzag and then seven bits per byte, as protocol buffers do."""
    value = (value << 1) ^ (value >> 63)
    written = bytearray()
    while value > 0x7F:
        written.append(0x80 | value & 0x7F)
        value >>= 7
    written.append(value)
    return bytes(written)


def _nullable(content: bytes | None) -> bytes:
    return _varint(-1) if content is None else _varint(len(content)) + content


def _string(value: bytes) -> bytes:
    return struct.pack(">h", len(value)) + value
