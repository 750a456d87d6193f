"""What Kafka has against the clients of this process, as librdkafka told. All of them log in alike.

librdkafka reports it beside the call that waits for an answer, and goes on trying. So it is kept here, for
whoever waited in vain to say why, and for the metric.
"""

import threading
import time
from collections import Counter
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import confluent_kafka as ck
import structlog

from schemas.refusals import Reason, line_of, reason_of

log = structlog.get_logger()

PREFIX: Final = "MIMAMORI_"
SAY_AGAIN_S: Final = 60.0


class Refusal(NamedTuple):
    """Why, which broker, and when by the monotonic clock."""

    reason: Reason
    server: str
    at: float

    def line(self, config: Mapping[str, Any]) -> str:
        """One line for whoever runs a client with this configuration."""
        user = config.get("sasl.username", config.get("sasl.oauthbearer.client.id"))
        return line_of(
            self.reason, PREFIX, self.server, user=user, mechanism=config.get("sasl.mechanism", "GSSAPI")
        )


class Refusals:
    """Keeps the last one, and counts them. Any thread may call."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: Counter[Reason] = Counter()
        self._last: Refusal | None = None
        self._said: dict[Reason, float] = {}

    def note(self, error: ck.KafkaError) -> bool:
        """Keep what librdkafka reports, and log each reason once a minute. False: it is no refusal."""
        said = error.str()
        reason = reason_of(said)
        if reason is None:
            return False
        address = said.partition("://")[2].partition("/")[0]
        found = Refusal(reason, address, time.monotonic())
        with self._lock:
            self._counts[reason] += 1
            self._last = found
            due = found.at >= self._said.get(reason, 0.0)
            if due:
                self._said[reason] = found.at + SAY_AGAIN_S
        if due:
            log.error("kafka_refuses", reason=reason, advice=line_of(reason, PREFIX, address))
        return True

    def since(self, moment: float) -> Refusal | None:
        """The last one, if it came after this moment of the monotonic clock."""
        with self._lock:
            return self._last if self._last is not None and self._last.at >= moment else None

    def taken(self) -> Counter[Reason]:
        """How many came since the last call, by reason."""
        with self._lock:
            counts, self._counts = self._counts, Counter()
        return counts


REFUSALS: Final = Refusals()
