"""A front on a port of its own, on a canned engine or another one, for tests that ask it by HTTP."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import msgspec

from engine.contract import Engine
from engine.task import load_task
from front.service import Service
from front.settings import FrontSettings
from front.startup import assemble
from mimamori.soak.canned_engine import CannedEngine
from tests.fakes.worker_app import POLICY
from worker.settings import Settings

FINGERPRINT = "0123456789abcdef" * 4


@dataclass
class ServedFront:
    """A front that answers. `url` has no slash at its end; `error` is what ended it, if anything did."""

    service: Service
    error: BaseException | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.service.port}"


@contextmanager
def served_front(engine: Engine | None = None, **settings: Any) -> Iterator[ServedFront]:
    """A front for the task `stress` with these settings; those of the worker are named `worker_…`."""
    task = load_task("stress")
    workers = {name.removeprefix("worker_"): settings.pop(name) for name in [*settings] if "worker_" in name}
    service = assemble(
        Settings(**{"health_port": 0} | workers),
        FrontSettings(**{"port": 0} | settings),
        engine or CannedEngine(levels=len(task.level_names)),
        task=task,
        fingerprint=FINGERPRINT,
        policy=msgspec.structs.replace(POLICY, languages=frozenset({"en"})),
    )
    served = ServedFront(service)

    def run() -> None:
        try:
            service.run()
        except BaseException as error:  # noqa: BLE001 - the test looks at it
            served.error = error
            service.listening.set()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        assert service.listening.wait(30)
        yield served
    finally:
        service.stop()
        thread.join(30)
        assert not thread.is_alive()
