"""Where the assigned partitions are read from: found, told to the client, and told anew where it goes astray.

    unplaced    assigned, and not read before their start is found
    missing     read up to where Kafka has no record; the client has stopped to fetch them
    fetched     all others

Places are told by a seek, except where the client has stopped to fetch: it refuses a seek then. It has
stopped where Kafka has no record, and so it does after a record whose producer made its offset up, as it goes
to fetch beyond the end. Such a partition is started over: see Fetching.start_over, and
docs/decisions/0024-a-partition-is-confirmed.md.
"""

import time
from collections.abc import Iterable
from typing import Final, cast

import confluent_kafka as ck
import structlog

from worker.errors import BrokerError, RetryableError
from worker.kafka import RebalanceListener
from worker.kafka.ends import OFFSETS_TIMEOUT_S, Ends
from worker.kafka.fetching import Fetching, positions
from worker.kafka.fresh import Fresh
from worker.kafka.membership import NotedMembership
from worker.kafka.places import Places
from worker.kafka.record import Partition, Record
from worker.kafka.starts import Starts

log = structlog.get_logger()

PLACE_TIMEOUT_S: Final = 2.0  # partitions that stay are not polled meanwhile
PLACE_PAUSE_S: Final = 0.5


class Placing:
    """The partitions of one consumer, which are its own as soon as they are assigned.

    Used by its polling thread, and in its client's callbacks.
    """

    def __init__(
        self,
        fetching: Fetching,
        ends: Ends,
        topic: str,
        listener: RebalanceListener,
        starts: Starts,
        noted: NotedMembership,
    ) -> None:
        self._fetching = fetching
        self._ends = ends
        self._topic = topic
        self._listener = listener
        self._starts = starts
        self._noted = noted
        self._places = Places(ends.heard, ends.now, ends.start_of)
        self._fresh = Fresh()
        self._assigned: set[Partition] = set()
        self._unplaced: set[Partition] = set()
        self._missing: dict[Partition, ck.TopicPartition] = {}  # at the position where Kafka has no record
        self._stopped: set[Partition] = set()  # of the unplaced, what the client has stopped to fetch
        self._begins: dict[Partition, int] = {}  # where reading began, or goes on after a rewind
        self._place_at = 0.0

    @property
    def assigned(self) -> set[Partition]:
        """All partitions of this consumer."""
        return set(self._assigned)

    @property
    def fetched(self) -> set[Partition]:
        """Those that the client is to fetch."""
        return self._assigned - self._unplaced - self._missing.keys()

    @property
    def awaits_answer(self) -> bool:
        """Whether Kafka is being asked for something without which some are not read."""
        return False

    def pause(self) -> None:
        """Fetch nothing until `resume`."""
        self._fetching.pause(self._assigned)

    def resume(self) -> None:
        """Fetch again what is placed."""
        self._fetching.resume(self._assigned - self._unplaced)
        self._fetching.at_once(self._assigned)

    def lag(self) -> int:
        """See `worker.kafka.Consumer.lag`."""
        return self._ends.behind(self._assigned, self._begins)

    def take(self, names: set[Partition]) -> None:
        """They were assigned. Call it in the client's callback."""
        self._assigned |= names
        self._places.forget(names)
        self._noted.note()
        try:
            self._fetching.begin(self._find(names, PLACE_TIMEOUT_S))
            self._fetching.let(names)
        except RetryableError as error:
            self._place_later(error)
            self._unplaced |= names
            self._fetching.begin(positions(names, ck.OFFSET_BEGINNING))
            self._fetching.hold(names)

    def give_up(self, names: set[Partition]) -> None:
        """They are revoked or lost. Call it in the client's callback."""
        self._assigned -= names
        self._unplaced -= names
        self._stopped -= names
        for name in names:
            self._missing.pop(name, None)
        self._fresh.leave(names)
        self._fetching.end(names)

    def sift(self, records: list[Record], *, rebalanced: bool) -> list[Record]:
        """Those of the fetched records that may be used. `rebalanced`: in the poll that brought them."""
        if rebalanced or self._unplaced:  # some may have been fetched before
            readable = self._assigned - self._unplaced
            records = [record for record in records if record.place in readable]
        if early := self._fresh.early(records):
            log.warning("read_from_elsewhere", topic=self._topic, partitions=len(early))
            self._unplace(early)
            records = [record for record in records if record.place not in early]
        records, again = self._places.check(records)
        for (topic, number), offset in again.items():
            log.warning("record_unreadable", topic=topic, partition=number, offset=offset - 1)
            self._start_over(ck.TopicPartition(topic, number, offset))
        return records

    def place(self) -> None:
        """Find where to read new partitions, and those where Kafka has no record. Retry later on failure."""
        if not (self._unplaced or self._missing) or time.monotonic() < self._place_at:
            return
        try:
            if self._unplaced:
                self._place_new()
        except RetryableError as error:
            self._place_later(error)
        until = time.monotonic() + PLACE_TIMEOUT_S  # the next poll goes on with the others
        for name in list(self._missing):
            self._missing[name] = missing = self._missing.pop(name)  # the last one in the next round
            try:
                self._place_missing(name, missing)
            except RetryableError as error:  # the others are read on meanwhile
                self._place_later(error)
            if time.monotonic() >= until:
                return

    def rewind(self) -> None:
        """See `worker.kafka.Consumer.rewind`."""
        if self._assigned:
            self._places.forget(self._assigned)
            for position in self._find(self._assigned, OFFSETS_TIMEOUT_S):
                self._go_to(position)

    def fetch_anew(self, names: Iterable[Partition]) -> None:
        """The client has silently stopped to fetch these."""
        for position in self._ends.positions(names):
            log.error("partition_not_fetched", topic=self._topic, partition=position.partition)
            name = position.topic, position.partition
            # The client may not know where it is, while records that it has given are still being screened.
            if (due := self._places.next_of(name)) is not None:
                self._start_over(ck.TopicPartition(*name, due))
            elif position.offset < 0:
                self._unplaced.add(name)
                self._stopped.add(name)
            else:
                self._start_over(position)

    def note_missing(self, message: ck.Message, why: str) -> None:
        """Note that the client has stopped fetching a partition, for lack of an offset to read from.

        Raises BrokerError: Kafka has lost what was there.
        """
        name = cast("Partition", (message.topic(), message.partition()))
        place = ck.TopicPartition(*name)
        if name not in self._assigned:
            return
        if name in self._unplaced:  # wherever it was: its place is still to be found
            self._stopped.add(name)
            return
        if (offset := message.offset()) is not None:
            place.offset = offset
            self._missing[name] = place
        elif self._ends.positions([name])[0].offset < 0:  # its start could not be found either
            self._unplaced.add(name)
            self._stopped.add(name)
            self._place_at = time.monotonic() + PLACE_PAUSE_S
        else:
            raise BrokerError(
                f"{self._topic}, partition {place.partition}: Kafka has lost records ({why}); start "
                "this worker again, and it goes on from what is committed"
            )

    def _place_new(self) -> None:
        for position in self._find(self._unplaced, PLACE_TIMEOUT_S):
            self._begin(position)
        self._fetching.at_once(self._assigned)

    def _place_missing(self, name: Partition, missing: ck.TopicPartition) -> None:
        due = self._places.next_of(name)
        if due is None:  # no record has come since
            due = self._begins.get(name, missing.offset)
        if due == missing.offset:
            due, restart = self._starts.instead_of(missing, PLACE_TIMEOUT_S)
            if restart is not None:  # report it first, as it is not found a second time
                self._listener.restarted([restart])
        # Else a producer made that offset up, and the client believed it.
        self._start_over(ck.TopicPartition(*name, due))

    def _begin(self, position: ck.TopicPartition) -> None:
        """Read a new partition from `position`. Raises RetryableError.

        It is not taken from the client and given back, since that would tell the client that a revocation
        is over which waits to be served, and the broker would give the partition to somebody else.
        """
        name = position.topic, position.partition
        if not self._fetching.seek(position):
            if name not in self._stopped:
                raise RetryableError("cannot seek: the client does not fetch yet")
            self._start_over(position)
            return
        self._places.expect(name, position.offset)
        self._fresh.begin(name, position.offset)
        self._stopped.discard(name)
        self._unplaced.discard(name)
        if not self._fetching.paused:
            self._fetching.let([name])

    def _unplace(self, names: set[Partition]) -> None:
        """Read nothing of these before their place is found."""
        if not names:
            return
        self._places.forget(names)
        self._fetching.hold(names)
        self._unplaced |= names
        self._stopped |= self._missing.keys() & names
        self._fresh.forget(names)
        for name in names:
            self._missing.pop(name, None)
        self._place_at = 0.0

    def _place_later(self, error: RetryableError) -> None:
        log.warning("place_not_found", error=str(error))
        self._place_at = time.monotonic() + PLACE_PAUSE_S

    def _find(self, names: set[Partition], timeout_s: float) -> list[ck.TopicPartition]:
        """Where to start reading `names`. Raises RetryableError."""
        committed = self._starts.left(positions(names), timeout_s)
        self._noted.note()  # now with the topic's id
        begin, restarts = self._starts.begin(committed)
        self._begins |= {(place.topic, place.partition): place.offset for place in begin}
        if restarts:
            self._listener.restarted(restarts)
        return begin

    def _go_to(self, position: ck.TopicPartition) -> None:
        """Continue to read a partition at `position`. Raises RetryableError."""
        unplaced = (position.topic, position.partition) in self._unplaced  # it may forget a seek
        if unplaced or not self._fetching.seek(position):
            self._start_over(position)

    def _start_over(self, position: ck.TopicPartition) -> None:
        """Read a partition from `position`, where the client has stopped, or fetches from elsewhere."""
        name = position.topic, position.partition
        # A made-up offset is replaced by the expected one. Without one, the committed offset would be used,
        # which may be older.
        self._places.expect(name, position.offset)
        self._fetching.start_over(position)
        self._missing.pop(name, None)
        self._unplaced.discard(name)
        self._stopped.discard(name)
        self._fresh.forget([name])
