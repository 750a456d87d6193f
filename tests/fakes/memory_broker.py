"""A small broker in memory whose transactions and consumer group behave as Kafka's, as far as workers see.

It passes the same contract tests as Apache Kafka (tests/contract/test_broker_contract.py). It models one
consumer group with cooperative rebalancing. A member's generation changes whenever its partitions do, and a
commit under an older generation is refused. Only one thread may use a client; one lock guards all state.
"""

import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count

from worker.errors import BrokerError, RetryableError
from worker.kafka import Membership, RebalanceListener, Restart
from worker.kafka.record import Offsets, Outbound, Partition, Record

LARGEST = 2 << 20  # the most bytes of a value that a topic takes


@dataclass
class _Member:
    number: int
    listener: RebalanceListener
    owned: set[Partition] = field(default_factory=set)
    generation: int = 0


class MemoryBroker:
    """Holds topics, the committed offsets of one group, and the owner of each transactional id."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.topics: dict[str, list[list[Record]]] = {}
        self.topic_ids: dict[str, int] = {}
        self.lows: Offsets = {}  # the first offset that is not deleted, unless it is 0
        self.committed: dict[Partition, tuple[int, int]] = {}  # offset, and the id of its topic
        self.members: dict[int, _Member] = {}
        self.producers: dict[str, int] = {}
        self.numbers = count(1)
        self.abort_next = 0  # how many commits are to fail, as by a broker's abortable error

    def create(self, topic: str, partitions: int) -> None:
        with self.lock:
            self.topics[topic] = [[] for _ in range(partitions)]
            self.topic_ids[topic] = next(self.numbers)

    def delete_records(self, topic: str, before: Offsets) -> None:
        with self.lock:
            self.lows |= {place: offset for place, offset in before.items() if place[0] == topic}

    def append(self, topic: str, key: bytes | None, value: bytes | None, **more: object) -> None:
        with self.lock:
            logs = self.topics[topic]
            number = hash(key) % len(logs)
            record = Record(topic, number, len(logs[number]), key, value, int(time.time() * 1000), **more)  # type: ignore[arg-type] # headers only
            logs[number].append(record)

    def read(self, topic: str) -> list[Record]:
        with self.lock:
            return [record for log in self.topics[topic] for record in log]

    def target(self, member: _Member, topic: str) -> set[Partition]:
        """Return the partitions a member should have: round robin over the members in joining order."""
        place = sorted(self.members).index(member.number)
        return {(topic, p) for p in range(len(self.topics[topic])) if p % len(self.members) == place}


class MemoryConsumer:
    """See `worker.kafka.Consumer`."""

    def __init__(self, broker: MemoryBroker, topic: str, listener: RebalanceListener) -> None:
        self._broker = broker
        self._topic = topic
        self._positions: Offsets = {}
        self._paused = False
        self._topic_id = broker.topic_ids[topic]
        self._counted: dict[Partition, range] = {}
        with broker.lock:
            self._member = _Member(next(broker.numbers), listener)
            broker.members[self._member.number] = self._member

    def poll(self, limit: int, timeout_s: float) -> list[Record]:
        deadline = time.monotonic() + timeout_s
        while True:
            if self._broker.topic_ids[self._topic] != self._topic_id:
                raise BrokerError(f"topic {self._topic} was deleted and made again")
            self._rebalance()
            records = [] if self._paused else self._fetch(limit)
            if records or time.monotonic() >= deadline:
                return records
            time.sleep(0.001)

    def pause(self) -> None:
        self._paused = True

    def resume(self) -> None:
        self._paused = False

    def rewind(self) -> None:
        with self._broker.lock:
            self._positions = {p: self._start(p) for p in self._member.owned}

    def membership(self) -> Membership:
        with self._broker.lock:
            return self._member.number, self._member.generation, self._topic_id

    def lag(self) -> int:
        with self._broker.lock:
            logs = self._broker.topics[self._topic]
            return sum(len(logs[number]) - at for (_, number), at in self._positions.items())

    def silence_s(self) -> float:
        return 0.0  # it is in this process

    def close(self) -> None:
        if self._member.owned:
            self._member.listener.revoked(sorted(self._member.owned))
        with self._broker.lock:
            self._broker.members.pop(self._member.number, None)
            self._member.owned.clear()

    def vanish(self) -> None:
        """Appear dead to the group, as after a session timeout, so that its partitions go to others."""
        with self._broker.lock:
            self._broker.members.pop(self._member.number, None)

    def _rebalance(self) -> None:
        member, broker = self._member, self._broker
        with broker.lock:
            lost = member.number not in broker.members
            if lost:
                broker.members[member.number] = member
            gone = sorted(member.owned if lost else member.owned - broker.target(member, self._topic))
        if gone:
            (member.listener.lost if lost else member.listener.revoked)(gone)
            with broker.lock:
                self._own(member.owned - set(gone))
        with broker.lock:
            held = {p for other in broker.members.values() if other is not member for p in other.owned}
            new = sorted(broker.target(member, self._topic) - held - member.owned)
            if new:
                self._own(member.owned | set(new))
                self._positions |= {p: self._start(p) for p in new}
        if new:
            member.listener.assigned(new)

    def _own(self, partitions: set[Partition]) -> None:
        self._member.owned = partitions
        self._member.generation += 1
        self._positions = {p: at for p, at in self._positions.items() if p in partitions}

    def _start(self, place: Partition) -> int:
        """Return the offset at which to begin: where the group stopped, or else the partition's start."""
        offset, topic_id = self._broker.committed.get(place, (None, 0))
        end = len(self._broker.topics[self._topic][place[1]])
        low = self._broker.lows.get(place, 0)
        if offset is None:
            return low
        if topic_id != self._topic_id:
            return self._restart(Restart(place, "made_again", offset, 0))
        if offset > end:
            return self._restart(Restart(place, "truncated", offset, low))
        if offset < low:
            return self._restart(Restart(place, "retention", offset, low, self._unread(place, offset, low)))
        return offset

    def _restart(self, restart: Restart) -> int:
        self._broker.committed[restart.partition] = restart.begins, self._topic_id
        self._member.listener.restarted([restart])
        return restart.begins

    def _pass_over_deleted(self) -> None:
        for place, at in self._positions.items():
            if at < (low := self._broker.lows.get(place, 0)):
                self._positions[place] = low
                unread = self._unread(place, at, low)
                self._member.listener.restarted([Restart(place, "retention", at, low, unread)])

    def _unread(self, place: Partition, at: int, low: int) -> int:
        known = self._counted.get(place, range(0))
        self._counted[place] = range(at, low)
        return sum(offset not in known for offset in range(at, low))

    def _fetch(self, limit: int) -> list[Record]:
        records: list[Record] = []
        with self._broker.lock:
            self._pass_over_deleted()
            for topic, number in sorted(self._positions):
                at = self._positions[topic, number]
                found = self._broker.topics[topic][number][at : at + limit - len(records)]
                self._positions[topic, number] = at + len(found)
                records += found
        return records


class MemoryProducer:
    """See `worker.kafka.Producer`."""

    def __init__(self, broker: MemoryBroker, transactional_id: str) -> None:
        self._broker = broker
        self._id = transactional_id
        with broker.lock:
            self._epoch = broker.producers[transactional_id] = broker.producers.get(transactional_id, 0) + 1

    def commit(self, outbound: Sequence[Outbound], offsets: Offsets, membership: Membership) -> None:
        broker = self._broker
        with broker.lock:
            if broker.producers[self._id] != self._epoch:
                raise BrokerError("this worker was fenced: another worker uses its transactional id")
            if any(len(record.value) > LARGEST for record in outbound):
                raise BrokerError("Kafka refuses what this worker writes to outcomes (MSG_SIZE_TOO_LARGE)")
            if broker.abort_next:
                broker.abort_next -= 1
                raise RetryableError("transaction aborted: injected")
            number, generation, topic_id = membership
            member = broker.members.get(number)
            if member is None or member.generation != generation:
                raise RetryableError("transaction aborted: ILLEGAL_GENERATION")
            for record in outbound:
                broker.append(record.topic, record.key, record.value, headers=list(record.headers))
            broker.committed |= {place: (offset, topic_id) for place, offset in offsets.items()}

    def close(self) -> None:
        """Do nothing, because nothing is open."""


class MemoryInHandTopic:
    """See `worker.kafka.InHandTopic`. Objects that share `notes` belong to one group."""

    def __init__(self, notes: dict[Partition, bytes] | None = None) -> None:
        self.notes = {} if notes is None else notes

    def read(self, partitions: Sequence[Partition]) -> dict[Partition, bytes]:
        return {place: self.notes[place] for place in partitions if place in self.notes}

    def write(self, notes: Mapping[Partition, bytes]) -> None:
        self.notes |= notes

    def settle(self) -> None:
        """Do nothing, because every write is safe at once."""

    def close(self) -> None:
        """Do nothing, because no write is pending."""
