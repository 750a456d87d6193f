"""Runs one soak from its start to the verdict."""

import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Protocol

import msgspec

from mimamori.sandbox.node import REPLICAS
from mimamori.soak.brokers import Brokers, Target
from mimamori.soak.checker import Checker
from mimamori.soak.clients import RENEW_S, Feed, Housekeeping, Watch
from mimamori.soak.faults import Faults
from mimamori.soak.fleet import Fleet
from mimamori.soak.launch import BundleLauncher, Launcher, ZygoteLauncher
from mimamori.soak.links import Links
from mimamori.soak.plan import SESSION_S, kinds, plan
from mimamori.soak.probes import Probes
from mimamori.soak.result import Result
from mimamori.soak.script import Script
from mimamori.soak.servers import Servers
from mimamori.soak.slots import Slots, number
from mimamori.soak.stillness import Stillness
from mimamori.soak.supply import Supply, steady_rate
from schemas import DeadLetter, Label, Message, ReviewCase, load_topics, topic_names
from worker.kafka.topics import apply_topics
from worker.settings import GroupProtocol

CANNED = "mimamori.soak.canned_worker:run"
STALL_S = 120.0  # no new outcome for this long, with no fault left to come: what is missing counts as lost
TRIM_EVERY_S = 15.0
KEPT = 2_000  # records kept before a partition's last outcome, for a worker that reads too far back to find

Progress = Callable[[int, int], None]


class Setup(msgspec.Struct, frozen=True, kw_only=True):
    """What to run. Workers run `mimamori run` on `bundle`, or, without a bundle, `entry` (see zygote.py).

    `settings` are further settings of every worker. The names of topics and group start with `prefix`. With
    `network`, inside an enclosure, brokers and workers have hosts of their own, whose packets are lost. With
    `apart`, a fault waits until the stream has recovered from the one before, and how long that took is kept.
    """

    records: int
    kills: int
    seed: int
    workers: int
    partitions: int
    brokers: int = 1
    protocol: GroupProtocol = "classic"
    network: bool = False
    apart: bool = False
    bundle: Path | None = None
    entry: str = CANNED
    prefix: str = "soak."
    stall_s: float = STALL_S
    session_s: float = SESSION_S
    settings: dict[str, Any] = {}


class Ground(Protocol):
    """The servers that workers and soak use: `Servers`, or any Kafka and Redis in a run without faults."""

    @property
    def bootstrap(self) -> str:
        """Kafka, for the soak."""

    @property
    def redis_url(self) -> str:
        """Redis, for the workers."""

    def bootstrap_of(self, slot: int) -> str:
        """Kafka, for the worker of a slot."""


def soak(setup: Setup, folder: Path, progress: Progress = lambda *_: None) -> Result:
    """Run a soak on its own servers. `progress` is called with the number of outcomes seen and of records.

    The logs of all workers stay in `folder`. Raises SandboxError or BrokerError: the soak itself could not
    run, which says nothing about the worker.
    """
    shape = (setup.records, setup.kills, setup.workers, setup.brokers)
    faults = plan(setup.seed, *shape, network=setup.network)
    target = Target(setup.prefix, topic_names(setup.prefix)[Message], f"{setup.prefix}0")
    links = Links(setup.brokers, setup.workers) if setup.network else None
    with Servers(folder, setup.workers, setup.brokers, links) as servers:
        brokers = Brokers(servers.kafka, target, links, servers.disks)
        run = _Run(setup, servers, folder, progress, links)
        apart = run.measure_apart(len(faults)) if setup.apart else None
        result = run.run(lambda fleet: Faults(faults, fleet, servers, brokers, apart, run.probes))
        if not result.sound:
            servers.keep()
        return result


def soak_on(ground: Ground, setup: Setup, folder: Path) -> Result:
    """Run a soak without faults on servers that already run. Raises BrokerError."""
    return _Run(setup, ground, folder, lambda *_: None).run(lambda fleet: Faults([], fleet, None, None))


class _Run:
    """The parts of one running soak."""

    def __init__(
        self, setup: Setup, ground: Ground, folder: Path, progress: Progress, links: Links | None = None
    ) -> None:
        names = topic_names(setup.prefix)
        self._setup = setup
        self._ground = ground
        self._folder = folder
        self._progress = progress
        self._script = Script(setup.seed, setup.records, setup.partitions)
        self._messages = names[Message]
        self._kinds: dict[str, type[Label | DeadLetter | ReviewCase]] = {
            names[kind]: kind for kind in (Label, DeadLetter, ReviewCase)
        }
        self._slots = Slots(setup.prefix, setup.protocol, setup.session_s, setup.settings, links)
        self._checker = Checker(self._script, self._messages)
        self._house = Housekeeping(ground.bootstrap)
        self._trim_due = 0.0
        self._stillness = Stillness(setup.partitions, time.monotonic())
        self._supply = Supply(setup.partitions)
        self.probes = Probes(self._slots.places)

    def measure_apart(self, faults: int) -> Stillness:
        """Let messages come so that each of these faults can be measured by itself."""
        self._supply = Supply(
            self._setup.partitions, steady_rate(self._setup.records, faults, self._setup.partitions)
        )
        return self._stillness

    def run(self, faults_of: Callable[[Fleet], Faults]) -> Result:
        setup = self._setup
        definitions = load_topics(
            setup.prefix, replication_factor=min(setup.brokers, REPLICAS), partitions=setup.partitions
        )
        apply_topics({"bootstrap.servers": self._ground.bootstrap}, definitions)
        started = time.monotonic()
        with ExitStack() as stack:
            self._watch = stack.enter_context(Watch(self._ground.bootstrap, self._kinds))
            fleet = stack.enter_context(
                Fleet(self._launcher(), self._settings_of, setup.workers, self._folder, self._slots.host)
            )
            stack.enter_context(self.probes)
            faults = stack.enter_context(faults_of(fleet))
            feed = stack.enter_context(Feed(self._ground.bootstrap, self._messages, self._script))
            self._stream(fleet, faults, feed)
            seconds = time.monotonic() - started
            fleet.drain()
            self._house.await_closed(self._watch.positions)
            self._take(self._watch.read_to_end())
            self._checker.committed(self._house.committed(setup.prefix, self._messages, setup.partitions))
        return self._result(fleet, faults, seconds)

    def _result(self, fleet: Fleet, faults: Faults, seconds: float) -> Result:
        setup = self._setup
        return Result(
            records=setup.records,
            kills=faults.counts["kill"],
            findings=self._checker.findings(),
            faults={
                **{kind: faults.counts[kind] for kind in kinds(setup.brokers, network=setup.network)},
                "malformed": self._script.malformed,
            },
            seed=setup.seed,
            seconds=round(seconds, 1),
            workers=setup.workers,
            partitions=setup.partitions,
            brokers=setup.brokers,
            protocol=setup.protocol,
            network=setup.network,
            engine="canned" if setup.bundle is None else str(setup.bundle),
            exits=dict(fleet.exits),
            log=faults.log,
        )

    def _launcher(self) -> Launcher:
        if self._setup.bundle is not None:
            return BundleLauncher(self._setup.bundle)
        return ZygoteLauncher(self._setup.entry)

    def _stream(self, fleet: Fleet, faults: Faults, feed: Feed) -> None:
        """Run until every message has an outcome and every fault is over, or until nothing moves any more."""
        last_seen, moved = 0, time.monotonic()
        while self._checker.seen < self._setup.records or faults.pending:
            self._take(self._watch.read())
            seen = self._checker.seen
            self._stillness.note(time.monotonic(), self._checker.seen_of, feed.sent)
            if self._stillness.longest_s(time.monotonic()) > RENEW_S:
                self._watch.renew()
            faults.tick(seen)
            fleet.tend()
            feed.check()
            self._allow(feed, faults)
            self._trim()
            self._progress(seen, self._setup.records)
            now = time.monotonic()
            if seen > last_seen or faults.active:
                last_seen, moved = seen, now
            elif now - moved > (self._setup.stall_s if seen else STALL_S):  # workers are slow to start
                if self._setup.bundle is None:  # the signal would kill `mimamori run`
                    fleet.ask_where()
                return

    def _take(self, records: Iterable[tuple[str, int, bytes | None]]) -> None:
        for topic, partition, value in records:
            self._checker.take(self._kinds[topic], partition, value)

    def _allow(self, feed: Feed, faults: Faults) -> None:
        reach = self._supply.reach(
            time.monotonic(),
            self._checker.seen_of,
            feed.sent,
            faults.next_at,
            recovering=faults.recovering,
        )
        for partition, sequence in enumerate(reach):
            feed.allow(partition, int(min(sequence, self._setup.records)))

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
        return self._slots.settings(slot, self._ground.bootstrap_of(number(slot)), self._ground.redis_url)
