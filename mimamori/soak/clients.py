"""The soak's own Kafka clients: they send the messages, read the outcomes, and delete what was read.

They share no code with the worker's clients (`worker/kafka`), since those are what the soak checks.
"""

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from typing import Any, Self

import confluent_kafka as ck
from confluent_kafka import ElectionType, IsolationLevel
from confluent_kafka.admin import AdminClient, OffsetSpec  # type: ignore[attr-defined] # public names that its types do not re-export

from mimamori.soak.script import Script
from worker.errors import BrokerError

PATIENCE_MS = 300_000  # a killed broker is started again within this time
ANSWER_S = 20.0
CLOSED_S = 40.0  # the workers' transactions time out after 15 s
RENEW_S = 10.0  # without news, the reader of outcomes is made anew
LOST_AFTER_S = 60.0  # a cut off broker is heard of, or ended, sooner
CHUNK = 5_000
WAIT_S = 0.02

# Quick to leave a broker that does not answer any more, for another: how long the stream stands still is the
# workers' time, and not that of who sends to them and reads after them.
QUICK: dict[str, Any] = {
    "socket.timeout.ms": 3_000,
    "socket.connection.setup.timeout.ms": 1_000,
    "topic.metadata.refresh.interval.ms": 500,
    "reconnect.backoff.ms": 50,
    "reconnect.backoff.max.ms": 500,
    "metadata.recovery.strategy": "none",
    "log_level": 0,
}


class Feed:
    """Sends the script on its own thread, as far ahead of the outcomes as it is allowed. A context manager.

    The producer is idempotent, so that a broker's death neither repeats nor reorders messages. Every offset
    that the broker reports must equal the message's number.
    """

    def __init__(self, bootstrap: str, topic: str, script: Script) -> None:
        self._topic = topic
        self._script = script
        self._limits = [0] * script.partitions
        self._sent = [0] * script.partitions
        self._stopping = threading.Event()
        self._failure: str | None = None
        self._producer = ck.Producer(
            {
                "bootstrap.servers": bootstrap,
                **QUICK,
                "client.id": "soak-feed",
                "enable.idempotence": True,
                "acks": "all",
                "compression.type": "lz4",
                "linger.ms": 5,
                "message.timeout.ms": PATIENCE_MS,
                "retry.backoff.max.ms": 500,
                "error_cb": _ignore,
            }
        )
        self._thread = threading.Thread(target=self._run, name="feed", daemon=True)

    @property
    def sent(self) -> list[int]:
        """How many messages of each partition were given to the client so far."""
        return list(self._sent)

    def allow(self, partition: int, sequence: int) -> None:
        """Allow sending this partition's messages before `sequence`."""
        self._limits[partition] = min(sequence, self._script.lengths[partition])

    def check(self) -> None:
        """Raise BrokerError where a message was not delivered as scripted: the run then proves nothing."""
        if self._failure:
            raise BrokerError(self._failure)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join()
        self._producer.purge()

    def _run(self) -> None:
        while not self._stopping.is_set() and not self._failure:
            sent = [self._send_some(partition) for partition in range(self._script.partitions)]
            self._producer.poll(0 if any(sent) else 0.02)

    def _send_some(self, partition: int) -> int:
        first, end = self._sent[partition], min(self._limits[partition], self._sent[partition] + CHUNK)
        for sequence in range(first, end):
            try:
                self._producer.produce(
                    self._topic,
                    self._script.value(partition, sequence),
                    self._script.key(partition, sequence),
                    partition,
                    on_delivery=self._expect(sequence),
                )
            except BufferError:  # the queue is full while the broker is away: wait until deliveries make room
                self._producer.poll(0.05)
                break
            self._sent[partition] = sequence + 1
        return self._sent[partition] - first

    def _expect(self, sequence: int) -> Callable[[ck.KafkaError | None, ck.Message], None]:
        def delivered(error: ck.KafkaError | None, message: ck.Message) -> None:
            if error is not None:
                self._failure = f"the soak could not send a message ({error.name()}): is its Kafka alive?"
            elif message.offset() != sequence:
                self._failure = (
                    f"message {sequence} of partition {message.partition()} stands at {message.offset()}: "
                    "the soak's own feed repeated or lost one, so nothing can be said of the worker"
                )

        return delivered


class Watch:
    """Reads every partition of some topics from the start, read-committed and without a group.

    A context manager. After brokers were cut off, its client (librdkafka 2.16) once did not get to the end in
    five minutes, though all was there, which would be taken for a fault of the workers: call `renew` where
    nothing comes. A leader that is cut off from the other brokers, and does not know yet that it leads no
    more, answers that it has no such records: that is believed after LOST_AFTER_S only.
    """

    def __init__(self, bootstrap: str, topics: Iterable[str]) -> None:
        self._bootstrap = bootstrap
        self._consumer = self._open()
        self._renewed_at = time.monotonic()
        self._positions: dict[tuple[str, int], int] = {
            (topic, number): 0
            for topic in topics
            for number in self._consumer.list_topics(topic, ANSWER_S).topics[topic].partitions
        }
        self._at_end: set[tuple[str, int]] = set()
        self._missing_since: dict[tuple[str, int], float] = {}
        self._begin()

    def _open(self) -> ck.Consumer:
        return ck.Consumer(
            {
                **QUICK,
                "client.id": "soak-watch",
                "bootstrap.servers": self._bootstrap,
                "group.id": "soak-watch",  # the client requires one; nothing is committed under it
                "enable.auto.commit": False,
                "isolation.level": "read_committed",
                "auto.offset.reset": "error",
                "enable.partition.eof": True,
                "fetch.wait.max.ms": 20,
                "queued.max.messages.kbytes": 32_768,
                "error_cb": _ignore,
            }
        )

    def _begin(self) -> None:
        self._consumer.assign([ck.TopicPartition(*place, at) for place, at in self._positions.items()])

    def renew(self) -> bool:
        """Read on with a new client, unless that was done less than RENEW_S ago. Returns whether it did."""
        now = time.monotonic()
        if now - self._renewed_at <= RENEW_S:
            return False
        self._renewed_at = now
        threading.Thread(target=self._consumer.close, daemon=True).start()  # it may take its time
        self._consumer = self._open()
        self._begin()
        return True

    @property
    def positions(self) -> dict[tuple[str, int], int]:
        """The offset to be read next, for each topic and partition."""
        return dict(self._positions)

    def read(self) -> Iterator[tuple[str, int, bytes | None]]:
        """Topic, partition and value of the next few thousand records, or fewer; may be empty."""
        for message in self._consumer.consume(CHUNK, WAIT_S):
            place = (message.topic() or "", message.partition() or 0)
            error = message.error()
            if error is None:
                self._positions[place] = (message.offset() or 0) + 1
                self._at_end.discard(place)
                self._missing_since.pop(place, None)
                yield (*place, message.value())
            elif error.code() == ck.KafkaError._PARTITION_EOF:
                self._at_end.add(place)
                self._missing_since.pop(place, None)
            elif error.fatal() or self._is_lost(place, error):
                raise BrokerError(f"the soak cannot read {place[0]}: {error.str()}")
            elif place in self._missing_since and self.renew():  # this client reads nothing more of it
                return  # the new one reads again what this one has left to give

    def _is_lost(self, place: tuple[str, int], error: ck.KafkaError) -> bool:
        if error.code() != ck.KafkaError._AUTO_OFFSET_RESET:
            return False
        now = time.monotonic()
        return now - self._missing_since.setdefault(place, now) > LOST_AFTER_S

    def read_to_end(self) -> Iterator[tuple[str, int, bytes | None]]:
        """As `read`, until each partition was read to its end, as that is now or later."""
        self._at_end.clear()
        self._begin()
        while len(self._at_end) < len(self._positions):
            yield from self.read()
            self.renew()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._consumer.close()


class Housekeeping:
    """Deletes records that were read, and asks for the offsets that the workers' group has committed."""

    def __init__(self, bootstrap: str) -> None:
        self._config: dict[str, Any] = {**QUICK, "bootstrap.servers": bootstrap, "error_cb": _ignore}
        self._admin = AdminClient(self._config)

    def trim(self, keep_from: dict[tuple[str, int], int]) -> None:
        """Let the broker delete the records before these offsets. It is a best effort, and does not wait."""
        before = [ck.TopicPartition(topic, number, at) for (topic, number), at in keep_from.items() if at > 0]
        if before:
            with suppress(ck.KafkaException):
                self._admin.delete_records(before)

    def await_closed(self, places: Iterable[tuple[str, int]]) -> None:
        """Wait until no transaction is open: a read-committed reader sees nothing behind an open one.

        Raises BrokerError: a transaction stays open for longer than its timeout.
        """
        asked = {ck.TopicPartition(*place): OffsetSpec.latest() for place in places}  # type: ignore[no-untyped-call] # a typed package in all else
        deadline = time.monotonic() + CLOSED_S
        while not self._are_closed(asked):
            if time.monotonic() > deadline:
                raise BrokerError(f"a transaction is still open {CLOSED_S:.0f} s after the last worker's end")
            time.sleep(0.1)

    def _are_closed(self, asked: dict[ck.TopicPartition, OffsetSpec]) -> bool:
        # A new client, since one made before the broker was killed keeps asking with the old leader epoch.
        admin = AdminClient(self._config)
        try:
            stable, last = (
                [answer.result(ANSWER_S).offset for answer in answers.values()]
                for answers in (
                    admin.list_offsets(asked, isolation_level=level)
                    for level in (IsolationLevel.READ_COMMITTED, IsolationLevel.READ_UNCOMMITTED)
                )
            )
        except ck.KafkaException:  # no answer this time; the loop asks again
            return False
        return stable == last

    def leaders(self, topic: str) -> list[int]:
        """The broker that leads each partition, -1 where none does; none where nobody answers."""
        try:
            found = AdminClient(self._config).list_topics(topic, ANSWER_S).topics[topic].partitions
        except ck.KafkaException:
            return []
        return [found[number].leader for number in sorted(found)]

    def move_leaders(self) -> None:
        """Let every partition's first replica lead it again, those of groups and transactions too.

        Whoever leads one meanwhile hands it over. It is a best effort: some may be led so already.
        """
        with suppress(ck.KafkaException):
            AdminClient(self._config).elect_leaders(ElectionType.PREFERRED).result(ANSWER_S)

    def committed(self, group: str, topic: str, partitions: int) -> dict[int, int]:
        """The group's committed offsets. Raises BrokerError."""
        asker = ck.Consumer({**self._config, "group.id": group})
        try:
            found = asker.committed([ck.TopicPartition(topic, n) for n in range(partitions)], ANSWER_S)
        except ck.KafkaException as error:
            raise BrokerError(f"cannot ask for committed offsets: {error.args[0].name()}") from None
        finally:
            asker.close()
        return {position.partition: position.offset for position in found}


def _ignore(_: ck.KafkaError) -> None:
    """Ignore connection errors, since the soak breaks connections on purpose."""
