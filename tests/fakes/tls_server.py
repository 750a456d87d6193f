"""A server that does no more than shake hands by TLS, as brokers do: with the wrong certificate, or none."""

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from mimamori.sandbox.certificates import Authority, Issued

HOST = "127.0.0.1"


@contextmanager
def tls_server(folder: Path, shown: Issued, clients_of: Authority | None = None) -> Iterator[str]:
    """Serve on loopback; yields `host:port`. `clients_of`: clients must show one of its certificates."""
    pem = folder / "server.pem"
    shown.write(pem, pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    if clients_of is not None:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(cadata=clients_of.pem.decode())
    with serving(context) as address:
        yield address


@contextmanager
def serving(context: ssl.SSLContext | None) -> Iterator[str]:
    """The same with this context; without one it speaks no TLS, and hangs up on whoever sends something."""
    with socket.create_server((HOST, 0)) as listener:
        thread = threading.Thread(target=_accept, args=(listener, context), daemon=True)
        thread.start()
        yield f"{HOST}:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()


def _accept(listener: socket.socket, context: ssl.SSLContext | None) -> None:
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:  # it was shut down
            return
        threading.Thread(target=_shake, args=(connection, context), daemon=True).start()


def _shake(connection: socket.socket, context: ssl.SSLContext | None) -> None:
    with suppress(OSError), connection:
        if context is None:
            connection.recv(1)
            return
        with context.wrap_socket(connection, server_side=True) as encrypted:
            encrypted.recv(1)
