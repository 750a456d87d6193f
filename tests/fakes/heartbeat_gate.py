"""A gate before Kafka that loses heartbeats of the protocol `consumer`, or breaks their connection.

All else passes.
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
        self.breaks_until: bytes | None = None  # at each heartbeat, until one has this in it
        self.answers = 0  # to heartbeats, and passed on

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)  # closing it would not wake the thread that accepts
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                try:
                    server = socket.create_connection((HOST, self._target))
                except OSError:
                    client.close()
                    continue
                beats: set[bytes] = set()  # what the client calls its heartbeats on this connection

                def to_server(frame: bytes, beats: set[bytes] = beats) -> bool:
                    if struct.unpack_from(">h", frame)[0] != HEARTBEAT:
                        return True
                    if self.breaks_until is not None:
                        if self.breaks_until not in frame:
                            raise ConnectionResetError
                        self.breaks_until = None
                    beats.add(frame[4:8])
                    return not self.loses_requests

                def to_client(frame: bytes, beats: set[bytes] = beats) -> bool:
                    self.answers += frame[:4] in beats
                    return True

                for ends, passes in (((client, server), to_server), ((server, client), to_client)):
                    threading.Thread(target=_pump, args=(*ends, passes), daemon=True).start()


def _pump(source: socket.socket, sink: socket.socket, passes: Callable[[bytes], bool]) -> None:
    """Pass on what Kafka sends: each request and answer says first how long it is."""
    with source, sink:
        with suppress(OSError), source.makefile("rb") as stream:
            while len(head := stream.read(4)) == 4:
                frame = stream.read(struct.unpack(">i", head)[0])
                if passes(frame):
                    sink.sendall(head + frame)
        for each in (source, sink):  # the thread of the other direction waits for one of them
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
