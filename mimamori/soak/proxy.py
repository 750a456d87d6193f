"""A proxy process between workers and servers, which forwards, cuts, delays and refuses connections.

    arguments   LISTEN:TARGET LISTEN:TARGET …        ports of this machine: one gate each, on loopback, or
                ADDRESS LISTEN:TARGET …              on this address
    stdin       {"gate": 27001, "cut": true}          break every connection of the gate, with a reset
                {"gate": 27001, "open": false}        refuse new ones too, until it is opened
                {"gate": 27001, "latency_s": 5.0}     delay the server's answers, on live connections too
                {"gate": 27001, "silent": true}       pass nothing on either way, and close nothing: packets
                                                      are lost; TCP sends them again once it ends

A gate is named by its listening port; fields that are left out change nothing. The proxy prints one line once
all gates listen, and ends when its standard input is closed.
"""

import asyncio
import os
import sys
from collections.abc import Coroutine
from typing import Any

import msgspec

HOST = "127.0.0.1"
PIECE = 1 << 16
PIECES = 64  # chunks that wait out the latency, per direction of a connection

Pieces = asyncio.Queue[tuple[float, bytes]]


class Turn(msgspec.Struct, frozen=True, omit_defaults=True):
    """What to change at a gate."""

    gate: int
    cut: bool = False
    open: bool | None = None
    latency_s: float | None = None
    silent: bool | None = None


class Gate:
    """One listening port and the server behind it."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._open = True
        self._latency_s = 0.0
        self._flows = asyncio.Event()
        self._flows.set()
        self._writers: set[asyncio.StreamWriter] = set()

    def turn(self, turn: Turn) -> None:
        """Change how the gate behaves."""
        self._open = self._open if turn.open is None else turn.open
        self._latency_s = self._latency_s if turn.latency_s is None else turn.latency_s
        if turn.silent is not None:
            (self._flows.clear if turn.silent else self._flows.set)()
        if turn.cut or not self._open:
            for writer in self._writers:
                writer.transport.abort()

    async def serve(self, client_reader: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        """One connection, until either side ends it."""
        try:
            if not self._open:
                raise ConnectionRefusedError
            server_reader, server = await asyncio.open_connection(HOST, self._target)
        except OSError:
            client.transport.abort()
            return
        pair = {client, server}
        self._writers |= pair
        try:
            await _first(
                self._pump(client_reader, server, delayed=False),
                self._pump(server_reader, client, delayed=True),
            )
        finally:
            self._writers -= pair
            for writer in pair:
                writer.transport.abort()

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, *, delayed: bool) -> None:
        pieces: Pieces = asyncio.Queue(PIECES)

        async def take_in() -> None:
            while piece := await source.read(PIECE):
                due = asyncio.get_running_loop().time() + (self._latency_s if delayed else 0)
                await pieces.put((due, piece))
            await self._flows.wait()  # its end is a packet too

        async def pass_on() -> None:
            while True:
                due, piece = await pieces.get()
                if (early := due - asyncio.get_running_loop().time()) > 0:
                    await asyncio.sleep(early)
                await self._flows.wait()
                sink.write(piece)
                await sink.drain()

        await _first(take_in(), pass_on())


async def _first(*works: Coroutine[Any, Any, None]) -> None:
    """Run all until one returns or raises an OSError (the connection's end); then cancel the others."""
    tasks = [asyncio.ensure_future(work) for work in works]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def main(address: str, routes: dict[int, int]) -> None:
    """Serve `routes`, which map ports of `address` to target ports of loopback, until standard input ends."""
    gates = {listen: Gate(target) for listen, target in routes.items()}
    for listen, gate in gates.items():
        await asyncio.start_server(gate.serve, address, listen)
    sys.stdout.write("listening\n")
    sys.stdout.flush()
    turns = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(turns), sys.stdin)
    while line := await turns.readline():
        turn = msgspec.json.decode(line, type=Turn)
        gates[turn.gate].turn(turn)
    os._exit(0)  # no traceback for each cut connection, since cutting them is the proxy's purpose


if __name__ == "__main__":
    addresses = [given for given in sys.argv[1:] if ":" not in given]
    pairs = [given.split(":") for given in sys.argv[1:] if ":" in given]
    asyncio.run(main((*addresses, HOST)[0], {int(listen): int(target) for listen, target in pairs}))
