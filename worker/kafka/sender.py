"""A plain producer for `replay`, the demo and benchmarks: at least once, with every delivery confirmed."""

from typing import Any, Self

import confluent_kafka as ck

from worker.errors import BrokerError
from worker.kafka.client import log_error, make
from worker.kafka.record import Headers

FLUSH_S = 30.0


class Sender:
    """Sends records. A context manager, which ends when all are confirmed. Used by one thread."""

    def __init__(self, config: dict[str, Any]) -> None:
        self._failed: ck.KafkaError | None = None
        self.confirmed = 0
        self._producer = make(
            ck.Producer,
            {
                "client.id": "mimamori-sender",
                "enable.idempotence": True,
                "partitioner": "murmur2_random",  # like Java producers: same key, same partition
                "compression.type": "lz4",
                "linger.ms": 5,
                "message.max.bytes": 8 << 20,
                "message.timeout.ms": 30_000,
                "error_cb": log_error,
                **config,
            },
        )

    def send(self, topic: str, value: bytes | None, key: bytes, headers: Headers | None = None) -> None:
        """Queue one record. Raises BrokerError where an earlier one could not be delivered."""
        while True:
            try:
                self._producer.produce(
                    topic, value, key, headers=list(headers or []), on_delivery=self._delivered
                )
            except BufferError:  # the local queue is full: wait until deliveries make room
                self._producer.poll(0.1)
            else:
                break
        self._producer.poll(0)
        self._check()

    def flush(self) -> None:
        """Wait until everything sent is confirmed. Raises BrokerError where that fails."""
        left = self._producer.flush(FLUSH_S)
        self._check()
        if left:
            raise BrokerError(f"{left} records were not confirmed within {FLUSH_S:.0f} s: is Kafka up?")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self.flush()
        else:
            self._producer.purge()

    def _delivered(self, error: ck.KafkaError | None, _: ck.Message) -> None:
        if error is None:
            self.confirmed += 1
        else:
            self._failed = error

    def _check(self) -> None:
        if self._failed is not None:
            raise BrokerError(
                f"a record was not delivered ({self._failed.name()}): is Kafka up, is the topic there?"
            )
