"""Tells notices until each is taken or given up, beside the desk. A receiver's fault never reaches the desk.

At least once: a desk that dies between the receiver's answer and its own note tells the notice again, under
the same id.
"""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Final, Protocol

import structlog
from aiokafka.errors import KafkaError  # type: ignore[import-untyped]  # ships no types
from mode import Service

from review.errors import DeskError
from review.hooks.attempts import Attempts, Pending
from review.hooks.ledger import Entry, Ledger, NoLedgerError
from review.hooks.notice import Notice
from review.hooks.post import Answer, Post
from review.hooks.signature import secret_bytes
from review.hooks.watch import Watch
from review.kafka.clients import client_settings
from review.metrics import DeskMetrics
from review.queue.live import LiveQueue
from review.settings import ENV_PREFIX, ReviewSettings

log = structlog.get_logger()

LOOK_EVERY_S: Final = 1.0
LONGEST_WAIT_S: Final = 10.0  # for a ledger that cannot be used
CLOSE_S: Final = 5.0
AT_ONCE: Final = 4


def open_teller(
    settings: ReviewSettings,
    queue: LiveQueue,
    metrics: DeskMetrics,
    ready: Callable[[], bool],
    withheld: Callable[[], str | None],
) -> "Teller | None":
    """The service that the settings ask for; None where they name no receiver. Raises DeskError."""
    if settings.webhook_url is None:
        return None
    if settings.webhook_secret is None:
        raise DeskError(f"{ENV_PREFIX}WEBHOOK_URL needs {ENV_PREFIX}WEBHOOK_SECRET, which signs what is sent")
    post = Post(
        settings.webhook_url,
        secret_bytes(settings.webhook_secret.get_secret_value()),
        settings.webhook_timeout_seconds,
    )
    ledger = Ledger(client_settings(settings), settings.webhooks_topic)
    watch = Watch(queue, settings.webhook_types, ledger.knows)
    return Teller(
        watch, Attempts(settings.webhook_give_up_hours * 3600), post, ledger, metrics, ready, withheld
    )


class Sends(Protocol):
    """How a notice is sent: `review.hooks.post.Post`, or a test's."""

    async def send(self, notice: Notice) -> Answer:
        """Try once."""

    async def close(self) -> None:
        """Close what is open."""


class Remembers(Protocol):
    """What remembers: `review.hooks.ledger.Ledger`, or a test's."""

    async def open(self) -> None:
        """Know everything that was noted before. Raises NoLedgerError, KafkaError."""

    async def follow(self, timeout_s: float) -> None:
        """Learn what other desks have noted."""

    async def write(self, notice_id: str, entry: Entry) -> None:
        """Note what became of a notice."""

    async def close(self) -> None:
        """Close what is open."""


class Teller(Service):
    """The service.

    Args:
        watch, attempts, post: What there is to tell, when it is tried, and how it is sent.
        ledger, metrics: What was told, and how often.
        ready: Whether the table is recovered, so that the queue is the whole one.
        withheld: What the desk's watch misses that only webhooks need, or None.
        now: The time, in seconds since 1970.
    """

    def __init__(
        self,
        watch: Watch,
        attempts: Attempts,
        post: Sends,
        ledger: Remembers,
        metrics: DeskMetrics,
        ready: Callable[[], bool],
        withheld: Callable[[], str | None],
        *,
        now: Callable[[], float] = time.time,
    ) -> None:
        super().__init__()
        self._watch = watch
        self._attempts = attempts
        self._post = post
        self._ledger = ledger
        self._metrics = metrics
        self._ready = ready
        self._withheld = withheld
        self._now = now
        self._opened = False

    @Service.task
    async def tell(self) -> None:
        """Look, and tell, until the service stops. A fault that lasts is logged once."""
        wait, fault = LOOK_EVERY_S, ""
        while not self.should_stop:
            before, broken = fault, False
            try:
                await self.round()
                wait, fault = LOOK_EVERY_S, "" if self._opened else fault
            except Exception as error:  # noqa: BLE001 - whatever it is, it must not stop the desk
                # Only these two say nothing of a case.
                says = str(error) if isinstance(error, NoLedgerError | KafkaError) else ""
                wait, fault = min(wait * 2, LONGEST_WAIT_S), says or type(error).__name__
                broken = True
            if fault and fault != before:
                log.error("webhooks_wait", error=fault)
            elif before and not fault:
                log.info("webhooks_go_on")
            if broken:
                await self._shut()
            await self.sleep(wait)

    async def round(self) -> None:
        """Tell what is due now. Nothing is lost where it raises.

        Raises NoLedgerError: the ledger's topic is not there, or a right to it is missing. KafkaError: it
        cannot be read or written.
        """
        if not self._ready():
            return
        if said := self._withheld():
            raise NoLedgerError(said)
        if not self._opened:
            await self._ledger.open()
            self._opened = True
        await self._ledger.follow(0.0)
        for notice in self._watch.look(self._now()):
            self._attempts.add(notice, self._now())
        self._metrics.webhooks_waiting.set(len(self._attempts))
        trying: list[Pending] = []
        for pending in self._attempts.due(self._now()):
            trying.append(pending)
            if len(trying) == AT_ONCE:
                await self._try(trying)
                trying.clear()
        await self._try(trying)

    async def on_stop(self) -> None:
        """Close what is open."""
        await self._shut()
        await self._post.close()

    async def _shut(self) -> None:
        self._opened = False
        # A client of a Kafka that refuses it may never end. What is said of it does not wait for that.
        with suppress(TimeoutError):
            await asyncio.wait_for(self._ledger.close(), CLOSE_S)

    async def _try(self, trying: list[Pending]) -> None:
        answers = await asyncio.gather(*(self._once(pending) for pending in trying))
        unsettled = list(zip(trying, answers, strict=True))
        try:
            while unsettled:
                pending, answer = unsettled[0]
                if answer is not None:
                    await self._settle(pending, answer)
                unsettled.pop(0)
        except KafkaError:
            for pending, _ in unsettled:
                self._attempts.put_back(pending, self._now())
            raise

    async def _once(self, pending: Pending) -> Answer | None:
        if not self._watch.still_open(pending.notice.data.case_id):
            self._attempts.forget(pending.notice.id)
            return None
        try:
            return await self._post.send(pending.notice)
        except Exception as error:  # noqa: BLE001 - a notice that is not answered would never be tried again
            return Answer(False, type(error).__name__)

    async def _settle(self, pending: Pending, answer: Answer) -> None:
        notice, at = pending.notice, datetime.fromtimestamp(self._now(), UTC)
        if answer.taken:
            await self._ledger.write(notice.id, Entry("told", at))
            self._attempts.told(pending)
            self._metrics.webhooks.labels(notice.type, "told").inc()
        elif self._attempts.failed(pending, self._now(), answer.retry_after):
            log.error("webhook_given_up", notice=notice.id, reason=answer.reason, failures=pending.failures)
            await self._ledger.write(notice.id, Entry("dead", at, notice, pending.failures, answer.reason))
            self._attempts.forget(notice.id)
            self._metrics.webhooks.labels(notice.type, "given_up").inc()
        else:
            self._metrics.webhooks.labels(notice.type, "failed").inc()
            log.warning("webhook_failed", reason=answer.reason, failures=pending.failures)
