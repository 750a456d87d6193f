"""A desk without pages: the real app, table, agents and Desk on a real Kafka, in a process of its own.

A test asks it over its standard input, line by line, and can freeze it in the middle of an event:

    desk = BareDesk(bootstrap, prefix, folder).ready()
    lease = desk.ask("claim", case.id, "aoi")["lease"]
"""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Self

import msgspec
from mode import Service

from review.app import ReviewApp
from review.cases.entries import Entry
from review.cases.form import Form
from review.errors import DecisionRefusedError
from review.kafka.cluster import inspect
from review.people import Person, Role
from review.queue.order import Filter
from review.run import DeskWorker
from review.settings import load_settings
from worker.telemetry.logs import configure_logs

PATIENCE = 60.0


def until(wanted: Callable[[], Any], what: str) -> Any:
    """Poll a condition that another process brings about."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if found := wanted():
            return found
        time.sleep(0.05)
    raise AssertionError(f"waited {PATIENCE:g} s in vain for {what}")


class BareDesk:
    """The process, as a test sees it."""

    def __init__(self, bootstrap: str, prefix: str, folder: Path, **settings: str) -> None:
        self._given = {
            "BOOTSTRAP": bootstrap,
            "TOPIC_PREFIX": prefix,
            "FOLDER": str(folder),
            "SIGNING_KEY": str(folder.parent / "signing-key.pem"),
            "TABLE_KEYS": "cmF0aGVyIGEgc2VudGVuY2UgdGhhbiBhIGtleSAuLi4=",
            "UNDO_SECONDS": "0",
        } | settings
        self._log = folder.with_suffix(".log")
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> Self:
        """Start it, or start it again."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith("MIMAMORI_")}
        environment |= {f"MIMAMORI_REVIEW_{name}": value for name, value in self._given.items()}
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.fakes.bare_desk"],
                env=environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
            )
        return self

    def ready(self, partitions: int | None = None) -> Self:
        """Wait until it holds partitions: any, or so many."""
        if self._process is None:
            self.start()

        def holds() -> bool:
            held = self.ask("status")
            return bool(held["ready"]) and partitions in {None, len(held["partitions"])}

        until(holds, f"a desk that holds partitions; its log: {self._log}")
        return self

    def send(self, do: str, *given: object) -> None:
        """Ask for something without waiting for the answer."""
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.write(msgspec.json.encode([do, *given]) + b"\n")
        self._process.stdin.flush()

    def answer(self) -> Any:
        """The next answer."""
        assert self._process is not None
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, self.log()
        return msgspec.json.decode(line)

    def ask(self, do: str, *given: object) -> Any:
        """Ask, and wait for the answer. A refusal is `{"refused": its name}`. `all` asks at one moment."""
        self.send(do, *given)
        return self.answer()

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        assert self._process is not None
        self._process.send_signal(number)

    def frozen(self) -> bool:
        """Whether it is stopped (SIGSTOP)."""
        assert self._process is not None
        return Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"

    def kill(self) -> None:
        """Kill it, as a crash would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(PATIENCE)
            for pipe in (self._process.stdin, self._process.stdout):
                if pipe is not None:
                    pipe.close()
            self._process = None

    def log(self) -> str:
        """What it has logged."""
        return self._log.read_text()


class Answering(Service):
    """The other end, inside the process."""

    def __init__(self, review: ReviewApp, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.pages = self.health = SimpleNamespace(port=0)  # what is logged at the start
        self._review = review
        self._put = review.table.put
        self._answers = os.dup(1)
        os.dup2(2, 1)  # what is logged goes elsewhere

    @Service.task
    async def _answer(self) -> None:
        reader = asyncio.StreamReader(limit=1 << 24)
        await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), sys.stdin.buffer
        )
        while line := await reader.readline():
            do, *given = msgspec.json.decode(line)
            if do == "all":
                found = await asyncio.gather(*(self._tried(*each) for each in given))
            else:
                found = await self._tried(do, *given)
            os.write(self._answers, msgspec.json.encode(found) + b"\n")

    async def _tried(self, do: str, *given: Any) -> Any:
        try:
            return await self._do(do, *given)
        except DecisionRefusedError as error:
            return {"refused": type(error).__name__}

    async def _do(self, do: str, *given: Any) -> Any:
        desk, present = self._review.desk, self._review.present
        match do, given:
            case "status", ():
                table = self._review.table
                found: Any = {"ready": self._review.ready, "partitions": sorted(table.partitions_held)}
            case "freeze", ():
                self._review.table.put = self._freeze_then_put  # type: ignore[method-assign]
                found = None
            case "commit_nothing", ():
                self._review.faust.consumer.commit = _commit_nothing  # type: ignore[method-assign]
                found = None
            case "claim", (case_id, who):
                found = await desk.claim(case_id, _person(who))
            case "decide", (case_id, lease, finding, who):
                found = await desk.decide(case_id, Form(finding, lease), _person(who))
            case "reopen", (case_id, who):
                found = await desk.reopen(case_id, _person(who, "lead"), "asked")
            case "find", (case_id,):
                found = desk.find(case_id, _person("uma", "auditor"))
            case "queue", ():
                page = desk.queue(Filter(), _person("lena", "lead"), offset=0, limit=200)
                found = {"total": page.total, "cases": [view.id for view in page.cases]}
            case "held", ():
                found = list(present.held.values())
            case _:
                raise NotImplementedError(do)
        return found

    async def _freeze_then_put(self, key: bytes, entry: Entry, *, over: Entry | None) -> None:
        self._review.table.put = self._put  # type: ignore[method-assign]
        os.kill(os.getpid(), signal.SIGSTOP)
        await self._put(key, entry, over=over)


async def _commit_nothing(*_given: Any, **_named: Any) -> bool:
    return False


def _person(name: str, *roles: Role) -> Person:
    return Person(name, name, frozenset(roles or ("reviewer",)))


def main() -> None:
    """Run until it is killed."""
    configure_logs("json")  # on standard error: standard output is for answers
    settings = load_settings()
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    review = ReviewApp(settings, loop.run_until_complete(inspect(settings)), loop)
    DeskWorker(review, Answering(review), loop).run()  # type: ignore[arg-type]  # it asks for the ports alone


if __name__ == "__main__":
    main()
