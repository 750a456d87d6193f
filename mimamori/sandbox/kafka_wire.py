"""Asks a Kafka broker over its own protocol whether it is ready, without a client.

A client library would hide these answers behind its retries and log lines. This speaks only to the sandbox's
own broker, with request versions that Kafka 4 still supports. Source of the formats:
https://kafka.apache.org/protocol
"""

import socket
import struct
from typing import Final, NamedTuple

from mimamori.sandbox.server import HOST

METADATA: Final = 3
SASL_HANDSHAKE: Final = 17
SASL_AUTHENTICATE: Final = 36
FIND_COORDINATOR: Final = 10
INIT_PRODUCER_ID: Final = 22
DESCRIBE_QUORUM: Final = 55
GROUPS, TRANSACTIONS = 0, 1
NAME: Final = b"mimamori-sandbox"


class User(NamedTuple):
    """Who asks a secured broker, by SASL PLAIN."""

    name: str
    password: str


def is_serving(port: int, user: User | None = None, brokers: int = 1, *, host: str = HOST) -> bool:
    """Whether the broker lists so many brokers in its metadata. Raises OSError: not listening yet."""
    answer = _ask(port, METADATA, 1, struct.pack(">i", 0), user, host)
    return _int(answer, ">i") >= brokers


def is_coordinating(port: int, user: User | None = None, *, alone: bool = True, host: str = HOST) -> bool:
    """Whether groups and transactions have coordinators; where this broker is alone, whether they are loaded.

    The request also makes the broker create their internal topics, so that a client's first consumer and
    first transaction need not wait for them (0.5 s of "coordinator load in progress" on a fresh broker).
    Raises OSError: not listening.
    """
    for kind in (GROUPS, TRANSACTIONS):
        answer = _ask(port, FIND_COORDINATOR, 1, _string(NAME) + struct.pack(">b", kind), user, host)
        if _int(answer[4:], ">h"):  # after the throttle time
            return False
    if not alone:  # another broker may be the coordinator: a client asks there
        return True
    answer = _ask(port, INIT_PRODUCER_ID, 0, _string(NAME) + struct.pack(">i", 10_000), user, host)
    return not _int(answer[4:], ">h")


def coordinator_of(port: int, name: str, kind: int = GROUPS, *, host: str = HOST) -> int:
    """The id of the broker that coordinates a group, or a transactional id (kind TRANSACTIONS).

    It is -1 while there is none. Raises OSError.
    """
    answer = _ask(port, FIND_COORDINATOR, 1, _string(name.encode()) + struct.pack(">b", kind), None, host)
    said = max(0, _int(answer[6:], ">h"))  # after the throttle time and the error: the error's text, or -1
    return _int(answer[8 + said :], ">i")


def controller_of(port: int, *, host: str = HOST) -> int:
    """The id of the node that leads the controllers, or -1 while there is none. Raises OSError."""
    topic = b"__cluster_metadata"
    # Compact arrays of one element and strings give their length plus one; a zero byte ends each structure.
    body = b"\x02" + bytes([len(topic) + 1]) + topic + b"\x02" + struct.pack(">i", 0) + b"\0\0\0"
    answer = _ask(port, DESCRIBE_QUORUM, 0, b"\0" + body, None, host)  # the header ends with a zero byte too
    at = 1 + 2 + 1 + 1 + len(topic) + 1  # header, error, array, name, array
    return _int(answer[at + 4 + 2 :], ">i")  # after the partition's number and error


def _ask(port: int, api: int, version: int, body: bytes, user: User | None, host: str) -> bytes:
    """Send one request on a new connection, and return the answer's body."""
    with socket.create_connection((host, port), timeout=5.0) as connection:
        if user is not None:
            token = f"\0{user.name}\0{user.password}".encode()
            _exchange(connection, SASL_HANDSHAKE, 1, _string(b"PLAIN"))
            answer = _exchange(connection, SASL_AUTHENTICATE, 0, struct.pack(">i", len(token)) + token)
            if _int(answer, ">h"):
                raise ConnectionRefusedError("the broker does not know its own administrator yet")
        return _exchange(connection, api, version, body)


def _exchange(connection: socket.socket, api: int, version: int, body: bytes) -> bytes:
    request = struct.pack(">hhi", api, version, 1) + _string(NAME) + body
    connection.sendall(struct.pack(">i", len(request)) + request)
    size = _int(_exactly(connection, 4), ">i")
    return _exactly(connection, size)[4:]  # after the correlation id


def _exactly(connection: socket.socket, size: int) -> bytes:
    received = bytearray()
    while len(received) < size:
        piece = connection.recv(size - len(received))
        if not piece:
            raise ConnectionResetError("the broker closed the connection")
        received += piece
    return bytes(received)


def _string(value: bytes) -> bytes:
    return struct.pack(">h", len(value)) + value


def _int(answer: bytes, form: str) -> int:
    return int(struct.unpack_from(form, answer)[0])
