"""A gate before Kafka that loses heartbeats of the protocol `consumer`, or their answers, and nothing else.

A client sees lost packets of one request; all else of the same connection passes.
"""

import socket
import struct
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Final, Self

HEARTBEAT: Final = 68  # ConsumerGroupHeartbeat
HOST: Final = "127.0.0.1"


class HeartbeatGate:
    """Listens at one port of this machine, and passes on to another. A context manager."""

    def __init__(self, listen: int, target: int) -> None:
        self._target = target
        self._listener = socket.create_server((HOST, listen))
        self.loses_requests = False
        self.loses_answers = False
        self.lost_answers = 0

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection((HOST, self._target))
                beats: set[bytes] = set()  # what the client calls those that have no answer yet

                def to_server(frame: bytes, beats: set[bytes] = beats) -> bool:
                    if struct.unpack_from(">h", frame)[0] != HEARTBEAT:
                        return True
                    beats.add(frame[4:8])
                    return not self.loses_requests

                def to_client(frame: bytes, beats: set[bytes] = beats) -> bool:
                    if frame[:4] not in beats or not self.loses_answers:
                        return True
                    self.lost_answers += 1
                    return False

                for ends, passes in (((client, server), to_server), ((server, client), to_client)):
                    threading.Thread(target=_pump, args=(*ends, passes), daemon=True).start()


def _pump(source: socket.socket, sink: socket.socket, passes: Callable[[bytes], bool]) -> None:
    """Pass on what Kafka sends: each request and answer says first how long it is."""
    with source, sink, suppress(OSError), source.makefile("rb") as stream:
        while len(head := stream.read(4)) == 4:
            frame = stream.read(struct.unpack(">i", head)[0])
            if passes(frame):
                sink.sendall(head + frame)
        for each in (source, sink):
            each.shutdown(socket.SHUT_RDWR)
