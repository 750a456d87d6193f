"""A real Apache Kafka and Redis on this machine, for development, the demo and the tests.

    with Sandbox() as sandbox:
        sandbox.bootstrap   # "127.0.0.1:23456"
        sandbox.redis_url   # "redis://127.0.0.1:23457/0"

The sandbox needs no Docker; `java.py` says where the programs come from. Where KAFKA_BOOTSTRAP or REDIS_URL
names a server that already runs, the sandbox uses that one, and neither starts nor ends it. Servers that it
started end with the process that started them, even when that process is killed. It is not made for
production.
"""

import atexit
import os
import secrets
import shutil
import socket
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from mimamori.errors import SandboxError
from mimamori.sandbox.encrypted import Encrypted
from mimamori.sandbox.kafka_cluster import KafkaCluster, nodes_of
from mimamori.sandbox.kafka_server import KafkaServer
from mimamori.sandbox.redis_server import RedisServer
from mimamori.sandbox.secured import Secured

__all__ = ["Sandbox"]


def _silent(_line: str) -> None:
    """Print nothing: the default for `echo`."""


class Sandbox:
    """A Kafka and a Redis that start and end together. Use it as a context manager.

    Args:
        folder: where data and logs are kept between runs; None for a temporary folder, removed at the end.
        kafka_port: port for Kafka's clients, 0 for a free one.
        redis_port: port for Redis, 0 for a free one.
        redis: whether to run a Redis at all.
        brokers: how many Kafka has. One keeps everything once; three keep everything three times, and go on
            without one of them (600 MB each).
        secured: whether Kafka makes its clients log in, and lets them do only what an ACL grants. One broker
            then listens with TLS as well: see `encrypted`.
        keys: a JWKS file; clients may log in with tokens (OAUTHBEARER) that one of its keys has signed.
        echo: is called with lines that tell what takes so long (the first start downloads 46 MB).
    """

    def __init__(
        self,
        folder: Path | None = None,
        kafka_port: int = 0,
        redis_port: int = 0,
        *,
        redis: bool = True,
        brokers: int = 1,
        secured: bool = False,
        keys: Path | None = None,
        echo: Callable[[str], None] = _silent,
    ) -> None:
        self._folder = folder
        self._kafka_port = kafka_port
        self._redis_port = redis_port
        self._with_redis = redis
        self._brokers = brokers
        self._secured = Secured.by(secrets.token_hex(16)) if secured else None
        self._keys = keys
        self._echo = echo
        self._root: Path | None = None
        self._kafka: KafkaServer | KafkaCluster | None = None
        self._redis: RedisServer | None = None
        self._bootstrap: str | None = None
        self._redis_url: str | None = None

    @property
    def bootstrap(self) -> str:
        """Kafka's `host:port`, of each broker. Raises SandboxError: not started."""
        if self._bootstrap is None:
            raise SandboxError("the sandbox does not run: use it as a context manager, or call start()")
        return self._bootstrap

    @property
    def admin_config(self) -> dict[str, Any]:
        """The Kafka administrator's client settings. Where Kafka is not secured, everybody has these."""
        login = self._secured.admin_config if self._secured else {}
        return {"bootstrap.servers": self.bootstrap, **login}

    @property
    def encrypted(self) -> Encrypted:
        """The listeners with TLS. Raises SandboxError: not started, not secured, or of several brokers."""
        found = self._kafka.encrypted if isinstance(self._kafka, KafkaServer) else None
        if found is None:
            raise SandboxError("this sandbox speaks no TLS: start it, with one broker and secured=True")
        return found

    @property
    def redis_url(self) -> str:
        """Redis' URL. Raises SandboxError: not started, or made without a Redis."""
        if self._redis_url is None:
            raise SandboxError("this sandbox runs no Redis: start it, and make it with redis=True")
        return self._redis_url

    @property
    def folder(self) -> Path:
        """Where data and logs are. Raises SandboxError: not started."""
        if self._root is None:
            raise SandboxError("the sandbox does not run: use it as a context manager, or call start()")
        return self._root

    def start(self) -> Self:
        """Start both, and return when both serve requests. Does nothing where they already run.

        Raises SandboxError, one line that says what to do: no Java, no download, a port taken, a
        server that does not come up. In that case nothing is left running, and the logs are kept.
        """
        if self._root is not None:
            return self
        self._root = self._folder or Path(tempfile.mkdtemp(prefix="mimamori-sandbox-"))
        atexit.register(self.stop)
        try:
            self._start_redis()
            self._start_kafka()
        except BaseException:
            has_log = any(self._root.rglob("*.log"))
            self._end(keep=self._folder is not None or has_log)
            raise
        return self

    def stop(self) -> None:
        """Shut both down, and remove a temporary folder. Does nothing where nothing runs."""
        self._end(keep=self._folder is not None)

    def check(self) -> None:
        """Raise SandboxError if a server of this sandbox has ended by itself; the line names its log."""
        for server in (self._kafka, self._redis):
            if server is not None:
                server.check()

    def start_kafka(self) -> None:
        """Start Kafka again, on the same port and data, after `stop_kafka` or `kill_kafka`."""
        self._own_kafka().start()

    def stop_kafka(self) -> None:
        """Shut Kafka down with SIGTERM, as an operator would. Raises SandboxError: not started here."""
        self._own_kafka().stop()

    def kill_kafka(self) -> None:
        """Kill Kafka with SIGKILL, as a crash would. Raises SandboxError: not started here."""
        self._own_kafka().kill()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _start_redis(self) -> None:
        if not self._with_redis:
            return
        if url := os.environ.get("REDIS_URL"):
            self._redis_url = url
            return
        temporary = self._folder is None
        self._redis = RedisServer(self.folder / "redis", self._redis_port, temporary=temporary)
        self._redis.start()
        self._redis_url = self._redis.url

    def _start_kafka(self) -> None:
        bootstrap = os.environ.get("KAFKA_BOOTSTRAP")
        if bootstrap and self._secured is None:  # a running server has its own users
            check_listening(bootstrap)
            self._bootstrap = bootstrap
            return
        temporary = self._folder is None
        folder, port = self.folder / "kafka", self._kafka_port
        if self._brokers == 1:
            self._kafka = KafkaServer(
                folder, port, temporary=temporary, echo=self._echo, secured=self._secured, keys=self._keys
            )
        else:
            self._kafka = KafkaCluster(
                folder,
                nodes_of(self._brokers),
                port=port,
                temporary=temporary,
                echo=self._echo,
                secured=self._secured,
            )
        self._kafka.start()
        self._bootstrap = self._kafka.bootstrap

    def _own_kafka(self) -> KafkaServer | KafkaCluster:
        if self._kafka is None:
            raise SandboxError("this sandbox runs no Kafka of its own: start it without KAFKA_BOOTSTRAP")
        return self._kafka

    def _end(self, *, keep: bool) -> None:
        atexit.unregister(self.stop)
        for server in (self._kafka, self._redis):
            if server is not None:
                server.stop()
        if self._root is not None and not keep:
            shutil.rmtree(self._root, ignore_errors=True)
        self._root = self._kafka = self._redis = self._bootstrap = self._redis_url = None


def check_listening(bootstrap: str) -> None:
    """Raise SandboxError unless one of the addresses in KAFKA_BOOTSTRAP accepts a connection.

    It sends nothing: the broker may want TLS or a password, and only the worker has those.
    """
    for address in bootstrap.split(","):
        host, _, port = address.strip().rpartition(":")
        try:
            socket.create_connection((host.strip("[]"), int(port)), timeout=5.0).close()
        except (OSError, ValueError):
            continue
        return
    raise SandboxError(f"KAFKA_BOOTSTRAP={bootstrap}: nothing listens there; start that broker, or unset it")
