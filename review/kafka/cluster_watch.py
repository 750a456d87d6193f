"""Watches what may be taken from a desk that runs: its rights, its topics, and Kafka itself.

    Kafka does not answer            not ready until it does; what is under way is sent when it does
    a right or a topic is gone       not ready, and the desk ends with one line, to be started again
    Kafka has refused a record       the same: its producer cannot go on, see below
    a right of the webhooks is gone  the webhooks wait and say why; people go on deciding

A producer that makes sure that each record is written once numbers its records. aiokafka leaves a gap where
Kafka has refused one, and from then on Kafka refuses all that follow it in that partition, also after the
right is given back (OutOfOrderSequenceNumber). A new process has a new producer, and reads on from what is
committed: nothing that was answered is lost.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

import structlog
from mode import Service

from review.errors import DeskError, KafkaGoneError

log = structlog.get_logger()

LOOK_EVERY_S: Final = 5.0
# A broker that is being started may say for a moment that something is not there, and of several brokers one
# that has just gone may be asked.
SURELY_AFTER_S: Final = 1.0


class ClusterWatch(Service):
    """Looks every few seconds, and at once where Kafka has refused a record.

    Args:
        look: Raises KafkaGoneError where nobody answers, and DeskError where the desk cannot go on. Returns
            what is wrong with the webhooks' rights.
        end: Ends the desk with this error.
        surely_after_s: How long after the first time it looks once more before it ends the desk.
    """

    def __init__(
        self,
        look: Callable[[], Awaitable[str | None]],
        end: Callable[[DeskError], Awaitable[None]],
        *,
        surely_after_s: float = SURELY_AFTER_S,
    ) -> None:
        super().__init__()
        self._look = look
        self._end = end
        self._surely_after_s = surely_after_s
        self._refusal: DeskError | None = None
        self._refused = asyncio.Event()
        self.fault: str | None = None
        self.webhooks_fault: str | None = None

    def refused(self, topic: str, error: BaseException) -> None:
        """Kafka has refused a record for good: nothing more is promised to anybody."""
        if self._refusal is None:
            self._refusal = DeskError(
                f"Kafka has refused a record for the topic {topic} ({type(error).__name__}): its log says "
                "why. Nothing that people were told of is lost; start the desk again"
            )
            self.fault = str(self._refusal)
            self._refused.set()

    @Service.task
    async def watch(self) -> None:
        """Look until the desk ends."""
        while not self.should_stop:
            await self.wait_first(self._refused.wait(), timeout=LOOK_EVERY_S)
            if not self.should_stop:
                await self.round()

    async def round(self) -> None:
        """Look once; where something is gone that was there before, twice."""
        self._refused.clear()
        fault = await self._asked()
        if fault is not None and (self.fault is None or not isinstance(fault, KafkaGoneError)):
            await asyncio.sleep(self._surely_after_s)
            fault = await self._asked()
        if isinstance(fault, KafkaGoneError):
            if self.fault is None:
                log.error("kafka_gone", reason=str(fault))
            self.fault = self.fault or str(fault)
        elif (final := fault or self._refusal) is not None:
            self.fault = str(final)
            log.error("cannot_go_on", reason=self.fault)
            await self._end(final)
        elif self.fault is not None:
            self.fault = None
            log.info("kafka_back")

    async def _asked(self) -> DeskError | None:
        try:
            said = await self._look()
        except DeskError as error:
            return error
        self.webhooks_fault = said
        return None
