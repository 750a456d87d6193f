"""Injects each fault of the plan when it is due, ends those that last a while, and logs when each struck."""

import heapq
import itertools
import signal
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Self, assert_never

import msgspec

from mimamori.errors import SandboxError
from mimamori.soak.brokers import Brokers
from mimamori.soak.fleet import Fleet
from mimamori.soak.packets import WorkerPackets
from mimamori.soak.plan import LATENCY_S, Fault, GateKind, Kind, RedisKind, WorkerKind
from mimamori.soak.probes import Probes
from mimamori.soak.servers import Servers
from mimamori.soak.stillness import Stillness

STORM = 2  # the number of workers that join at the same time


class Struck(msgspec.Struct, frozen=True):
    """A fault that has struck: `at_s` seconds into the run, when `at_record` messages had outcomes.

    Where faults come one at a time, `still_s` is how long a partition stood still for it (see stillness.py),
    and `unready_s` after how long the slot's worker said that it is not ready, if it did. `share` is that of
    the packets lost.
    """

    at_s: float
    at_record: int
    kind: Kind
    slot: int
    lasts_s: float
    share: float = 1.0
    still_s: float | None = None
    unready_s: float | None = None


class Faults:
    """Injects the faults of a plan. Call `tick` often; `pending` says whether any are left.

    It is a context manager. `servers` and `brokers` may be None if the plan is empty. With `stillness` each
    fault waits until the one before is over and the stream has recovered from it.
    """

    def __init__(
        self,
        plan: Sequence[Fault],
        fleet: Fleet,
        servers: Servers | None,
        brokers: Brokers | None,
        stillness: Stillness | None = None,
        probes: Probes | None = None,
    ) -> None:
        self._plan = list(reversed(plan))
        self._fleet = fleet
        self._given = servers
        self._brokers = brokers
        self._packets = WorkerPackets(servers.links) if servers and servers.links else None
        self._stillness = stillness
        self._probes = probes
        self.recovering = False  # from a fault, before the next one, where they come one at a time
        self._started = time.monotonic()
        self._order = itertools.count()
        self._due: list[tuple[float, int, Callable[[], None]]] = []  # a heap, by due time
        self._storms = itertools.count()
        self._seen = 0
        self.log: list[Struck] = []
        self.counts: Counter[Kind] = Counter()

    @property
    def next_at(self) -> float:
        """The number of outcomes at which the plan's next fault is due; infinity if there is none."""
        return self._plan[-1].at if self._plan else float("inf")

    @property
    def pending(self) -> bool:
        """Whether a fault has yet to strike or to end."""
        return bool(self._plan) or self.active or self.recovering

    @property
    def active(self) -> bool:
        """Whether a fault whose number of outcomes was reached has yet to strike or to end."""
        return bool(self._due) or (self._brokers is not None and self._brokers.striking)

    @property
    def _servers(self) -> Servers:
        if self._given is None:
            raise SandboxError("a fault of a server needs servers of the soak's own")
        return self._given

    def tick(self, seen: int) -> None:
        """Do everything that is due, given that `seen` messages have outcomes."""
        self._seen = seen
        now = time.monotonic()
        while self._plan and self._plan[-1].at <= seen and not self.recovering:
            fault = self._plan.pop()
            self.recovering = self._stillness is not None
            self._later(fault.delay_s, lambda fault=fault: self._strike(fault))  # type: ignore[misc] # mypy cannot type a default
        while self._due and self._due[0][0] <= now:
            heapq.heappop(self._due)[2]()
        if self._brokers is not None:
            self._brokers.tend()
        if self._stillness is not None:
            self._settle(self._stillness, now)

    def _settle(self, stillness: Stillness, now: float) -> None:
        """Note how long the stream stood still, once the last fault is over and it has recovered."""
        if (still_s := stillness.settled(now, over=not self.active)) is not None:
            last = self.log[-1]
            self.log[-1] = msgspec.structs.replace(
                last, still_s=round(still_s, 2), unready_s=self._unready_s(last)
            )
            self.recovering = False

    def _unready_s(self, struck: Struck) -> float | None:
        if self._probes is None or struck.slot < 0:
            return None
        since = self._started + struck.at_s
        found = self._probes.first_unready(str(struck.slot), since)
        return None if found is None else round(found - since, 2)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._brokers is not None:
            self._brokers.close()

    def _later(self, seconds: float, what: Callable[[], None]) -> None:
        heapq.heappush(self._due, (time.monotonic() + seconds, next(self._order), what))

    def _strike(self, fault: Fault) -> None:
        if not self._do(fault):
            self._later(0.02, lambda: self._strike(fault))  # It could not strike yet: try again soon.
            return
        self.counts[fault.kind] += 1
        at_s = round(time.monotonic() - self._started, 3)
        self.log.append(Struck(at_s, self._seen, fault.kind, fault.slot, fault.lasts_s, fault.share))
        if self._stillness is not None:
            self._stillness.struck(time.monotonic())

    def _do(self, fault: Fault) -> bool:
        """Inject a fault; return whether that was possible now."""
        match fault.kind:
            case (
                "kill"
                | "zombie"
                | "usurp"
                | "storm"
                | "kafka_cut"
                | "kafka_latency"
                | "kafka_silence"
                | "worker_cut"
                | "worker_half_cut"
                | "worker_loss" as kind
            ):
                return self._strike_worker(kind, fault)
            case "redis_flush" | "redis_kill" | "redis_cut" | "redis_latency" as kind:
                return self._strike_redis(kind, fault.lasts_s)
            case (
                "broker_kill"
                | "leader_kill"
                | "controller_kill"
                | "coordinator_kill"
                | "transaction_kill"
                | "broker_stop"
                | "leaders_move"
                | "broker_freeze"
                | "disk_full"
                | "broker_cut"
                | "broker_split"
                | "broker_loss" as kind
            ):
                return self._brokers is not None and self._brokers.strike(kind, fault)
        assert_never(fault.kind)  # A planned fault that is not handled here must not count as struck.

    def _strike_worker(self, kind: WorkerKind, fault: Fault) -> bool:
        match kind:
            case "kill":
                pid = self._fleet.holder(str(fault.slot))
                return pid is not None and self._fleet.signal(pid, signal.SIGKILL)
            case "zombie" | "usurp":
                return self._stop(fault)
            case "storm":
                self._storm(fault)
            case "kafka_cut" | "kafka_latency" | "kafka_silence":
                self._turn(kind, fault)
            case "worker_cut" | "worker_half_cut" | "worker_loss":
                if self._packets is None:
                    raise SandboxError("packets are lost on hosts of the workers' own, which are not there")
                self._later(fault.lasts_s, self._packets.strike(kind, fault))
        return True

    def _turn(self, kind: GateKind, fault: Fault) -> None:
        match kind:
            case "kafka_cut":
                self._servers.turn_kafka(fault.slot, cut=True, is_open=False)
                self._later(fault.lasts_s, lambda: self._servers.turn_kafka(fault.slot, is_open=True))
            case "kafka_latency":
                self._servers.turn_kafka(fault.slot, latency_s=LATENCY_S)
                self._later(fault.lasts_s, lambda: self._servers.turn_kafka(fault.slot, latency_s=0))
            case "kafka_silence":
                self._servers.turn_kafka(fault.slot, silent=True)
                self._later(fault.lasts_s, lambda: self._servers.turn_kafka(fault.slot, silent=False))

    def _strike_redis(self, kind: RedisKind, lasts_s: float) -> bool:
        match kind:
            case "redis_flush":
                with suppress(OSError):  # A Redis that is down just now counts as flushed.
                    self._servers.redis.flush()
            case "redis_kill":
                self._servers.redis.kill()
                self._later(lasts_s, self._servers.redis.start)
            case "redis_cut":
                self._servers.turn_redis(cut=True, is_open=False)
                self._later(lasts_s, lambda: self._servers.turn_redis(is_open=True))
            case "redis_latency":
                self._servers.turn_redis(latency_s=LATENCY_S)
                self._later(lasts_s, lambda: self._servers.turn_redis(latency_s=0))
        return True

    def _storm(self, fault: Fault) -> None:
        """Let workers join at the same time and leave in an orderly way after a while."""
        for _ in range(STORM):
            pid = self._fleet.start(f"storm-{next(self._storms)}")
            self._later(fault.lasts_s, lambda pid=pid: self._signal(pid, signal.SIGTERM))  # type: ignore[misc] # mypy cannot type a default

    def _stop(self, fault: Fault) -> bool:
        """SIGSTOP a slot's worker: past its session timeout, or while another takes its slot and names."""
        slot = str(fault.slot)
        pid = self._fleet.holder(slot)
        if pid is None or not self._fleet.signal(pid, signal.SIGSTOP):
            return False
        if fault.kind == "usurp":
            self._fleet.start(slot)
        self._later(fault.lasts_s, lambda: self._signal(pid, signal.SIGCONT))
        return True

    def _signal(self, pid: int, number: signal.Signals) -> None:
        self._fleet.signal(pid, number)  # It does not matter here whether the process still runs.
