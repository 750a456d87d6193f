"""A desk as a process: a user of a Kafka with ACLs, whose rights are taken away and given back."""

import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import confluent_kafka as ck
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # public names that its types do not re-export
    AclBindingFilter,
    AdminClient,
)

from mimamori import process
from mimamori.sandbox import Sandbox
from schemas.rights import rights_of
from tests.fakes.desk_client import DeskClient
from tests.fakes.guarded_kafka import PASSWORD, WAY, User
from tests.fakes.identity_provider import free_port
from worker.kafka.acls import admit, binding

PATIENCE_S = 120.0


class GuardedDesk:
    """Its user has every right of a desk that also tells webhooks. Use it as a context manager."""

    def __init__(self, sandbox: Sandbox, folder: Path, user: str, **settings: Any) -> None:
        self._admin = dict(sandbox.admin_config)
        self._log = folder / "desk.log"
        self._user = user
        self._port, self._health = free_port(), free_port()
        self._rights = {str(right): right for right in (*rights_of("desk"), *rights_of("webhooks"))}
        self._settings = {
            **User(user, "desk").login(sandbox),
            "folder": folder / "desk",
            "port": self._port,
            "health_port": self._health,
            "webhook_url": "http://127.0.0.1:9/hook",
            "webhook_secret": "whsec_" + "A" * 44,
            **settings,
        }
        self._running: subprocess.Popen[bytes] | None = None
        admit(self._admin, {user: PASSWORD}, {user: self._rights.values()})

    def start(self) -> DeskClient:
        """Start it, or start it again; returns somebody who is signed in, once it is ready."""
        self._running = process.start(process.DESK, self._settings, self._log)
        process.await_ready(self._running, self._health, self._log, PATIENCE_S)
        return DeskClient(f"http://127.0.0.1:{self._port}").sign_in("amara")

    @contextmanager
    def without(self, right: str) -> Iterator[None]:
        """An administrator takes a right away, and gives it back in the end."""
        admin, granted = AdminClient(self._admin), binding(self._user, self._rights[right])
        pattern = AclBindingFilter(
            granted.restype,
            granted.name,
            granted.resource_pattern_type,
            granted.principal,
            granted.host,
            granted.operation,
            granted.permission_type,
        )
        (taken,) = admin.delete_acls([pattern]).values()
        assert taken.result()
        yield
        (given,) = admin.create_acls([granted]).values()
        given.result()

    def ends_for(self, right: str) -> None:
        """Wait until it has ended, with an exit code and the line that names the right."""
        assert self._running is not None
        assert self._running.wait(PATIENCE_S) == 1
        name = f"CN={self._user}" if WAY == "mutual" else self._user
        last = self._log.read_text().splitlines()[-1]
        assert last.startswith(f"error: the Kafka user {name} lacks the right to {right} ("), last

    def says(self, words: str) -> None:
        """Wait until its log has these words."""
        wait_for(lambda: words in self._log.read_text(), self._log.read_text)

    @property
    def is_ready(self) -> bool:
        """Whether it says so; not where it has gone."""
        try:
            return DeskClient(f"http://127.0.0.1:{self._health}").ask("GET", "/readyz")[0] == 200
        except OSError:
            return False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._running is not None:
            self._running.kill()
            self._running.wait()


def wait_for(wanted: Callable[[], Any], said: Callable[[], str] = str) -> None:
    """Poll what another process brings about. `said`: what to show where it does not."""
    deadline = time.monotonic() + PATIENCE_S
    while not wanted():
        assert time.monotonic() < deadline, f"waited in vain: {said()[-4000:]}"
        time.sleep(0.25)  # who asks a desk more often than its limit is refused for as long as they go on


def values_of(config: dict[str, Any], topic: str, key: str) -> list[bytes]:
    """The values of every committed record with this key in partition 0."""
    reader = {"group.id": "test-reader", "isolation.level": "read_committed", "enable.partition.eof": True}
    consumer = ck.Consumer({**config, **reader})
    consumer.assign([ck.TopicPartition(topic, 0, 0)])
    found = []
    while (record := consumer.poll(PATIENCE_S)) is not None and record.error() is None:
        if record.key() == key.encode():
            found.append(record.value() or b"")
    consumer.close()
    return found
