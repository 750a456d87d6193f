"""The producer on Apache Kafka: one transaction holds the outcomes and the consumed offsets."""

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import confluent_kafka as ck
import structlog

from schemas.rights import Right
from worker.errors import BrokerError, RetryableError
from worker.kafka import Membership, offset_note
from worker.kafka.client import log_error, make
from worker.kafka.record import Offsets, Outbound
from worker.kafka.rights import refused
from worker.kafka.step_watch import StepWatch

log = structlog.get_logger()

STEP_TIMEOUT_S = 10.0
COMMIT_DEADLINE_S = 60.0
CLOSE_TIMEOUT_S = 2.0
NEVER_S = 3 * STEP_TIMEOUT_S  # a call that has not returned by then, whatever its timeout, never will

# After these errors the same batch would be refused at every try.
_PERMANENT = {
    ck.KafkaError.MSG_SIZE_TOO_LARGE,
    ck.KafkaError.RECORD_LIST_TOO_LARGE,
    ck.KafkaError.INVALID_RECORD,
    ck.KafkaError.TOPIC_AUTHORIZATION_FAILED,
    ck.KafkaError.GROUP_AUTHORIZATION_FAILED,
    ck.KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
    ck.KafkaError.UNKNOWN_TOPIC_OR_PART,
    ck.KafkaError._UNKNOWN_TOPIC,
    ck.KafkaError._UNKNOWN_PARTITION,
}

# What an aborted transaction's other records end with: says nothing about why.
_PURGED = {ck.KafkaError._PURGE_QUEUE, ck.KafkaError._PURGE_INFLIGHT}

# The client reports these where a topic no longer exists, of the transaction or only of its records.
_UNSENT = {ck.KafkaError._TIMED_OUT, ck.KafkaError._MSG_TIMED_OUT}

_LOADING = ck.KafkaError.COORDINATOR_LOAD_IN_PROGRESS
_LOADS = "a broker says that it still loads what it coordinates, which takes seconds; look at its log"


class KafkaProducer:
    """The `worker.kafka.Producer` on Apache Kafka. Used by one thread.

    `transactional_id` must be unique among running workers: a second worker with the same id fences the
    first.
    """

    def __init__(self, config: dict[str, Any], transactional_id: str) -> None:
        self._config = {**config, "transactional.id": transactional_id}
        self._failed: tuple[str | None, ck.KafkaError] | None = None
        self._producer = make(
            ck.Producer,
            {
                "client.id": "mimamori-outbox",
                # The longest time that a dead worker's open transaction holds back read-committed readers.
                "transaction.timeout.ms": 15_000,
                "message.timeout.ms": 15_000,
                # While the broker still writes the last transaction's markers it answers
                # CONCURRENT_TRANSACTIONS; the default backoff then costs up to 100 ms a batch.
                "retry.backoff.ms": 1,
                "retry.backoff.max.ms": 200,
                # The default, "rebootstrap", makes the client forget all brokers once they are down, and then
                # wait for the forgotten group coordinator: sending offsets never returns, whatever its
                # timeout (librdkafka#5456). Where all brokers have moved, the deadline ends the worker.
                "metadata.recovery.strategy": "none",
                # Of several brokers, the dead coordinator of the group stays in the client's memory, and
                # sending offsets waits until any other connection opens or ends before it asks for the next
                # coordinator (librdkafka#5511). Connections that idle now end soon, and open when needed.
                "connections.max.idle.ms": 5_000,
                "linger.ms": 2,
                "partitioner": "murmur2_random",  # like Java producers: same key, same partition
                "compression.type": "lz4",
                "message.max.bytes": 8 << 20,
                "queue.buffering.max.messages": 500_000,
                "error_cb": log_error,
                "delivery.report.only.error": True,
                "on_delivery": self._note_failure,
                **self._config,
            },
        )
        self._watch = StepWatch(NEVER_S)
        try:
            self._patiently(
                lambda: self._producer.init_transactions(STEP_TIMEOUT_S), "cannot start transactions"
            )
        except ck.KafkaException as error:
            self._watch.close()
            if error.args[0].code() == ck.KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED:
                raise refused(config, Right("transactional-id", transactional_id, "Write")) from None
            raise BrokerError(f"cannot start transactions: {error.args[0].str()}") from None
        except BaseException:
            self._watch.close()  # nobody will close a producer that was never made
            raise

    def commit(self, outbound: Sequence[Outbound], offsets: Offsets, membership: Membership) -> None:
        """See `worker.kafka.Producer.commit`."""
        if membership is None:
            raise RetryableError("not a member of the group yet")
        self._failed = None
        note = offset_note.write(membership.note)
        groups = membership.groups(offsets)
        try:
            self._producer.begin_transaction()
            for record in outbound:
                self._produce(record)
            for group, places in groups.items():
                positions = [
                    ck.TopicPartition(topic, number, offsets[topic, number], note) for topic, number in places
                ]
                self._send_offsets(positions, group)
            self._patiently(lambda: self._producer.commit_transaction(STEP_TIMEOUT_S), "cannot commit")
        except ck.KafkaException as error:
            self._abort(
                error.args[0], {record.topic for record in outbound} | {place[0] for place in offsets}
            )
        membership.proved(offsets)

    def close(self) -> None:
        """See `worker.kafka.Producer.close`."""
        # Each of them raises where this client was fenced. Aborting also raises where no transaction is open,
        # or another thread is committing one.
        for step in (
            self._producer.purge,
            lambda: self._producer.abort_transaction(CLOSE_TIMEOUT_S),
            lambda: self._producer.flush(0),
        ):
            with suppress(ck.KafkaException):
                step()
        self._watch.close()

    def _produce(self, record: Outbound) -> None:
        while True:
            try:
                self._producer.produce(record.topic, record.value, record.key, headers=record.headers)
            except BufferError:  # the local queue is full: wait until deliveries make room
                self._producer.poll(0.1)
            else:
                return

    def _send_offsets(self, positions: list[ck.TopicPartition], group: Any) -> None:
        self._patiently(
            lambda: self._producer.send_offsets_to_transaction(positions, group, STEP_TIMEOUT_S),
            "cannot send offsets",
        )

    def _abort(self, cause: ck.KafkaError, topics: set[str]) -> None:
        """Abort the transaction on `topics` after the error `cause`, and always raise."""
        if cause.fatal():
            raise BrokerError(
                f"this worker was fenced or cannot go on ({cause.name()}): another worker uses its "
                "transactional id, or it was paused for too long; restart it"
            )
        self._producer.poll(0)  # the records' own errors may still wait to be reported
        topic, failure = self._failed or (None, cause)
        log.warning("transaction_aborted", code=cause.name(), record=failure.name())
        if {cause.code(), failure.code()} & _UNSENT and (missing := self._missing(topics)):
            raise BrokerError(f"topic {missing} is not there: run `mimamori topics apply`")
        try:
            self._patiently(lambda: self._producer.abort_transaction(STEP_TIMEOUT_S), "cannot abort")
        except ck.KafkaException as error:
            raise BrokerError(
                f"a transaction could not be aborted ({error.args[0].name()}): restart the worker"
            ) from None
        if failure.code() in _PERMANENT:
            topic = topic or self._missing(topics)  # or hidden from this worker
            if topic and failure.code() == ck.KafkaError.TOPIC_AUTHORIZATION_FAILED:
                raise refused(self._config, Right("topic", topic, "Write"))
            raise BrokerError(
                f"Kafka refuses what this worker writes{f' to {topic}' if topic else ''} ({failure.name()}), "
                "and would do so again: check the topic with `mimamori topics list`, and this worker's rights"
            )
        raise RetryableError(f"transaction aborted: {cause.name()}")

    def _missing(self, topics: set[str]) -> str:
        """The one of `topics` that is missing, which Kafka does not name when it refuses a transaction."""
        try:
            found = self._producer.list_topics(timeout=STEP_TIMEOUT_S).topics
        except ck.KafkaException:
            return ""
        return ", ".join(sorted(topics - found.keys()))

    def _patiently(self, step: Callable[[], object], complaint: str) -> None:
        """Repeat a step while its error is retriable, as the transactional API requires.

        Raises BrokerError at the deadline; other KafkaExceptions pass through.
        """
        deadline = time.monotonic() + COMMIT_DEADLINE_S
        while True:
            try:
                with self._watch.watching():
                    step()
            except ck.KafkaException as error:
                if not error.args[0].retriable():
                    raise
                if time.monotonic() > deadline:
                    raise BrokerError(
                        f"{complaint} for {COMMIT_DEADLINE_S:.0f} s ({error.args[0].name()}): "
                        + (_LOADS if error.args[0].code() == _LOADING else "is Kafka up?")
                    ) from None
            else:
                return

    def _note_failure(self, error: ck.KafkaError | None, message: ck.Message) -> None:
        """Keep the first failed record's error: the transaction's error only says that some record failed."""
        if error is not None and error.code() not in _PURGED and self._failed is None:
            self._failed = message.topic(), error
