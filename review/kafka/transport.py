"""Faust's aiokafka transport, set to read committed records only, and to write each record once.

The worker writes cases in transactions. Faust reads uncommitted records unless it runs exactly-once (which
loses track of foreign topics), so cases of aborted transactions would appear in the queue. It also makes its
producer idempotent only then, so a record that is sent again because a broker died could be there twice.
"""

import asyncio
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, cast

from aiokafka import AIOKafkaConsumer  # type: ignore[import-untyped]  # ships no types
from aiokafka.errors import ProducerClosed  # type: ignore[import-untyped]  # same
from faust.transport.drivers import aiokafka as driver

from review.kafka import tolerant


class ReadCommittedThread(driver.AIOKafkaConsumerThread):
    """Faust's consumer thread, with the one setting that Faust does not offer."""

    def _create_worker_consumer(self, transport: Any) -> AIOKafkaConsumer:
        tolerant.install()
        consumer = super()._create_worker_consumer(transport)
        consumer._isolation_level = "read_committed"  # noqa: SLF001 - read once when the consumer starts
        return consumer

    async def seek_to_committed(self) -> Mapping[Any, int]:
        """Go back to what was committed, and to the beginning where nothing ever was.

        Faust drops what it fetches while it recovers, and aiokafka does not move back where there is no
        committed offset. So the first records of a partition would be passed over.
        """
        committed: Mapping[Any, int] = await super().seek_to_committed()
        changelogs = self.app.tables.changelog_topics
        new = [tp for tp, offset in committed.items() if not offset and tp.topic not in changelogs]
        if new:
            await self.call_thread(self._ensure_consumer().seek_to_beginning, *new)
        return committed


class ReadCommittedConsumer(driver.Consumer):
    """A consumer on that thread, which gives its agents nothing while it goes back."""

    def _new_consumer_thread(self) -> ReadCommittedThread:
        return ReadCommittedThread(self, loop=self.loop, beacon=self.beacon)

    async def perform_seek(self) -> None:
        """Go back to what was committed, while no record is handed on.

        Faust goes on fetching here, once the table is recovered, and drops what agents have in hand when it
        is done. A record that was fetched behind the seek, and waited for its agent, was gone: it counted as
        a gap in the topic with the next one, and what came after it was committed. Whoever calls this lets
        the records flow again: the recovery does, and the fetch that came too late waits for it.
        """
        self.stop_flow()
        await super().perform_seek()


class IdempotentProducer(driver.Producer):
    """A producer whose records the broker takes once, however often they are sent.

    It tries again what may still succeed, for ever. So a record that fails was refused for good.
    """

    def _settings_extra(self) -> dict[str, Any]:
        return {"acks": "all", "enable_idempotence": True}

    async def send(self, topic: str, *args: Any, **kwargs: Any) -> Any:
        """Send a record, and tell the transport where it is refused."""
        sent: Any = await super().send(topic, *args, **kwargs)
        sent.add_done_callback(partial(self._done, topic))
        return sent

    def _done(self, topic: str, sent: "asyncio.Future[Any]") -> None:
        fault = None if sent.cancelled() else sent.exception()
        if fault is not None and not isinstance(fault, ProducerClosed):
            cast("ReadCommittedTransport", self.transport).on_refused(topic, fault)


class ReadCommittedTransport(driver.Transport):
    """The transport with that consumer and that producer."""

    Consumer = ReadCommittedConsumer
    Producer = IdempotentProducer

    def __init__(self, *args: Any, on_refused: Callable[[str, BaseException], None], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.on_refused = on_refused
