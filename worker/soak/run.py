"""One soak from start to verdict."""

import secrets
import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import msgspec

from schemas import DeadLetter, Label, Message, ReviewCase, load_topics, topic_names
from worker.kafka.topics import apply_topics
from worker.soak.checker import Checker
from worker.soak.clients import Feed, Housekeeping, Watch
from worker.soak.faults import Faults
from worker.soak.fleet import Fleet, Launcher, ZygoteLauncher
from worker.soak.plan import SESSION_S, plan
from worker.soak.result import Result
from worker.soak.script import LONGEST_TEXT, Script
from worker.soak.servers import Servers

PREFIX = "soak."
GROUP = "soak"
CANNED = "worker.soak.canned_worker:run"
TICK_S = 0.01
AHEAD = 60_000  # messages sent and without an outcome, all partitions together
STALL_S = 90.0  # without a new outcome, once no fault is to come: what is missing then is lost
TRIM_EVERY_S = 15.0
KEPT = 2_000  # records before the last outcome of a partition: a worker that reads too far back finds them

Progress = Callable[[int, int, int], None]


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What to run. `entry` is what the zygote runs as a worker."""

    records: int
    kills: int
    seed: int
    workers: int
    partitions: int
    entry: str = CANNED


def soak(what: Plan, progress: Progress, folder: Path) -> Result:
    """Run it. `progress` gets outcomes seen, records, and faults done. Logs of all workers stay in `folder`.

    Raises SandboxError or BrokerError: the soak itself could not run, and says nothing of the worker.
    """
    script = Script(what.seed, what.records, what.partitions)
    with ExitStack() as stack:
        servers = stack.enter_context(Servers(folder, what.workers))
        config = {"bootstrap.servers": servers.bootstrap}
        apply_topics(config, load_topics(PREFIX, replication_factor=1, partitions=what.partitions))
        return _Run(what, script, servers, folder, progress).run(stack)


class _Run:
    """The parts of one soak while it runs."""

    def __init__(
        self, what: Plan, script: Script, servers: Servers, folder: Path, progress: Progress
    ) -> None:
        names = topic_names(PREFIX)
        self._what = what
        self._script = script
        self._servers = servers
        self._folder = folder
        self._progress = progress
        self._messages = names[Message]
        self._kinds: dict[str, type[Label | DeadLetter | ReviewCase]] = {
            names[kind]: kind for kind in (Label, DeadLetter, ReviewCase)
        }
        self._secret = secrets.token_hex(16)
        self._checker = Checker(script, self._messages)
        self._watch = Watch(servers.bootstrap, self._kinds)
        self._house = Housekeeping(servers.bootstrap)
        self._trim_due = 0.0

    def run(self, stack: ExitStack) -> Result:
        what, checker = self._what, self._checker
        started = time.monotonic()
        launcher: Launcher = ZygoteLauncher(what.entry)
        fleet = stack.enter_context(Fleet(launcher, self._settings_of, what.workers, self._folder))
        faults = Faults(plan(what.seed, what.records, what.kills, what.workers), fleet, self._servers)
        stack.callback(faults.close)
        feed = stack.enter_context(Feed(self._servers.bootstrap, self._messages, self._script))
        self._stream(fleet, faults, feed)
        seconds = time.monotonic() - started
        fleet.drain()
        self._take(self._watch.read_to_end())
        checker.committed(self._house.committed(GROUP, self._messages, what.partitions))
        self._watch.close()
        findings = checker.findings()
        return Result(
            records=what.records,
            kills=faults.counts["kill"],
            faults={**faults.counts, "malformed": self._script.malformed},
            seed=what.seed,
            seconds=round(seconds, 1),
            records_per_s=round(findings.seen / seconds, 1),
            workers=what.workers,
            partitions=what.partitions,
            engine="canned",
            exits=dict(fleet.exits),
            first_ids=findings.first_ids,
            log=faults.log,
            **findings.counts,
        )

    def _stream(self, fleet: Fleet, faults: Faults, feed: Feed) -> None:
        """Until every message has an outcome and every fault is over, or nothing moves any more."""
        last_seen, moved = 0, time.monotonic()
        while self._checker.seen < self._what.records or faults.pending:
            self._take(self._watch.read())
            seen = self._checker.seen
            faults.tick(seen)
            fleet.tend()
            feed.check()
            self._allow(feed, faults)
            self._trim()
            self._progress(seen, self._what.records, faults.counts.total())
            now = time.monotonic()
            if seen > last_seen or faults.active:
                last_seen, moved = seen, now
            elif now - moved > STALL_S:
                return

    def _take(self, records: Iterable[tuple[str, int, bytes | None]]) -> None:
        for topic, partition, value in records:
            self._checker.take(self._kinds[topic], partition, value)

    def _allow(self, feed: Feed, faults: Faults) -> None:
        """Some way ahead of the outcomes, but not past the next fault: none must strike idle workers."""
        ahead = AHEAD // self._what.partitions
        for partition, seen in enumerate(self._checker.seen_of):
            reach = min(seen, faults.next_at / self._what.partitions)
            feed.allow(partition, int(reach) + ahead)

    def _trim(self) -> None:
        if time.monotonic() < self._trim_due:
            return
        self._trim_due = time.monotonic() + TRIM_EVERY_S
        outcomes = {place: at - KEPT for place, at in self._watch.positions.items()}
        messages = {
            (self._messages, number): done - KEPT for number, done in enumerate(self._checker.finished())
        }
        self._house.trim(outcomes | messages)

    def _settings_of(self, slot: str) -> dict[str, Any]:
        """As a StatefulSet would give them: names of its own per slot; every second slot a static member."""
        number = int(slot) if slot.isdecimal() else 0
        kafka: dict[str, Any] = {
            "session.timeout.ms": int(SESSION_S * 1000),
            "heartbeat.interval.ms": 500,
        }
        if slot.isdecimal() and number % 2 == 0:
            kafka["group.instance.id"] = f"soak-{slot}"
        return {
            "bootstrap": self._servers.bootstrap_of(number),
            "group": GROUP,
            "topic_prefix": PREFIX,
            "transactional_id": f"soak-{slot}",
            "kafka": kafka,
            "redis_url": self._servers.redis_url,
            "cache_secret": self._secret,
            "max_text_chars": LONGEST_TEXT,
            "lower": 0.8,
            "upper": 0.9,
            "quality_sample_share": 0.01,
            "drain_s": 10,
            "revoke_s": 5,
            "health_port": 0,
        }
