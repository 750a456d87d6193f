"""Wires the desk: the Faust app, table, agents and timer, and what the web server needs to know about them.

Faust runs the stateful part (table, changelog, recovery). Its own web server is off, and it creates no topics
of others. Processing is at least once on purpose: Faust's exactly-once fences by group id only, and leaves
topics that it only produces to outside the transaction.
"""

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from datetime import timedelta
from functools import partial
from typing import Any, Final

import faust
import structlog
from yarl import URL

from review.audit.log import Asked, Found, read_log
from review.audit.trail import Trail, erased, revealed, stepped
from review.desk import Desk
from review.erasing import Erased, Erasing, erase_everywhere, held_by_kafka
from review.journal import Journal
from review.kafka.access_watch import AccessWatch
from review.kafka.agents import Agents
from review.kafka.clients import faust_credentials
from review.kafka.cluster import Cluster, look_again
from review.kafka.cluster_watch import ClusterWatch
from review.kafka.forgetting import Forgetting
from review.kafka.intake import Intake
from review.kafka.publishing import audit_writer, publisher, teller, teller_of_sightings
from review.kafka.reading_back import reader_of
from review.kafka.repeats import Repeats
from review.kafka.signing import open_signing
from review.kafka.table import MAX_RECORD, CaseTable
from review.kafka.traces import CaseTraces, open_spans
from review.kafka.transport import ReadCommittedTransport
from review.metrics import DeskMetrics
from review.people import Person
from review.present import Limits, Present
from review.queue.live import REFRESH_EVERY
from review.queue.rules import rules_of
from review.retention.due import Due
from review.retention.forgetting import What
from review.retention.keys import load_cipher
from review.settings import ReviewSettings
from review.stepping import utc_now

log = structlog.get_logger()

LOOK_EVERY_S: Final = 0.5
FORGET_EVERY_S: Final = 2.0
# Of the audit log, at once: `mimamori audit` exports more without holding up the desk.
MOST_SHOWN: Final = 100_000
# How long the page of an erasure waits for the desks before it says which are silent.
ERASING_S: Final = 15.0


class ReviewApp:
    """One desk: everything between Kafka and the web server. Raises DeskError: its keys cannot be read."""

    def __init__(self, settings: ReviewSettings, cluster: Cluster, loop: asyncio.AbstractEventLoop) -> None:
        self.settings = settings
        self.cluster = cluster
        self.metrics = DeskMetrics()
        context = settings.ssl_context()
        self.faust = _faust_app(settings, cluster, loop, context)
        self.watch = ClusterWatch(self._look, self.faust.crash)
        self.access = AccessWatch(
            settings, context, self._look, self.faust.crash, self.metrics.certificate_ends.set
        )
        brokers = self.faust.conf.broker
        self.faust.transport = ReadCommittedTransport(
            brokers, self.faust, loop=loop, on_refused=self.watch.refused
        )
        limits = Limits(
            timedelta(seconds=settings.lease_seconds),
            timedelta(seconds=settings.undo_seconds),
            timedelta(seconds=settings.handover_seconds),
            timedelta(seconds=settings.second_reader_seconds),
        )
        self.present = Present(
            limits,
            utc_now,
            rules_of(settings),
            double_share=settings.double_review_share,
            keep=timedelta(days=settings.keep_markers_days),
        )
        keep = timedelta(hours=settings.retention_after_decision_hours)
        lags = (cluster.cases_lag, timedelta(hours=settings.changelog_compaction_hours))
        due = Due(keep, lags)
        cipher = load_cipher(settings, settings.folder, may_make_key=settings.on_loopback)
        self.table = CaseTable(
            self.faust,
            cipher,
            (self.present, due),
            reader_of(settings),
            partitions=cluster.partitions,
            compaction_hours=settings.changelog_compaction_hours,
            rocksdb=settings.store == "rocksdict",
        )
        cases, events, decisions, subjects = (
            _raw_topic(self.faust, name)
            for name in (
                settings.cases_topic,
                settings.events_topic,
                settings.decisions_topic,
                settings.subjects_topic,
            )
        )
        self.signing = signatures = open_signing(settings)
        send = publisher(events, signatures)
        journal = Journal(send, confirm_seconds=settings.confirm_seconds)
        audit = audit_writer(_raw_topic(self.faust, settings.audit_topic), signatures)
        self.trail = Trail(
            audit, confirm_seconds=settings.confirm_seconds, refused=self.metrics.not_audited.inc
        )
        self.desk = Desk(
            self.table, self.present, journal, settings, limits, before_reveal=revealed(self.trail)
        )
        self._forgetting = Forgetting(
            self.table,
            due,
            teller(cases),
            erased(self.trail),
            self.metrics,
            keep=keep,
            lags=lags,
            clock=utc_now,
        )
        self.erasing = Erasing(self._forgetting, partial(held_by_kafka, settings), self._erase)
        group = settings.app_id
        self.traces = CaseTraces(open_spans(settings, self.metrics), group, settings.decisions_topic)
        agents = Agents(
            self.table,
            publisher(decisions, signatures),
            journal.came_back,
            Intake(self.table, signatures, self.metrics),
            self._forgetting,
            stepped(self.trail),
            Repeats(
                self.table,
                teller_of_sightings(subjects, signatures),
                send,
                least=settings.repeated_cases,
                clock=utc_now,
            ),
            self.traces,
            expiry=self.present.expiry,
            publish_notes=settings.publish_notes,
        )
        self.faust.agent(cases, name="cases")(agents.cases)
        self.faust.agent(events, name="events")(agents.events)
        self.faust.agent(decisions, name="decisions")(agents.decisions)
        self.faust.agent(subjects, name="subjects")(agents.subjects)
        self.faust.timer(LOOK_EVERY_S)(self._end_overdue)
        self.faust.timer(FORGET_EVERY_S)(self._tell_what_is_due)
        self.faust.timer(REFRESH_EVERY)(self._forecast)

    @property
    def held_partitions(self) -> int:
        """The number of partitions of cases that this desk holds now; other desks hold the others."""
        if not self.faust.consumer.started:
            return 0
        return sum(tp.topic == self.settings.cases_topic for tp in self.faust.consumer.assignment())

    @property
    def ready(self) -> bool:
        """Whether the table is recovered, this desk holds a part of the queue, and Kafka takes its steps."""
        return self.fault is None and not self.faust.should_stop and self._recovered

    @property
    def fault(self) -> str | None:
        """Why it is not ready, where Kafka is gone or has taken something away; for whoever runs the desk."""
        return self.watch.fault

    @property
    def _recovered(self) -> bool:
        tables = self.faust.tables
        return bool(tables.actives_ready and not self.faust.rebalancing and self.held_partitions)

    async def _look(self) -> str | None:
        return await look_again(self.settings, changelog=self._recovered)

    async def audit_log(self, asked: Asked) -> Found:
        """What the audit log says. Raises DeskError: it cannot be read."""
        return await read_log(self.settings, self.signing.trusted, asked, MOST_SHOWN)

    async def _erase(self, what: What, wanted: str, person: Person) -> Erased:
        roles = sorted(person.roles)
        return await erase_everywhere(
            self.settings, self.signing, what, wanted, person.id, wait_s=ERASING_S, roles=roles
        )

    async def _end_overdue(self) -> None:
        await self._in_time("end_overdue", self.desk.end_overdue)

    async def _tell_what_is_due(self) -> None:
        await self._in_time("tell_what_is_due", self._forgetting.tell_what_is_due)

    async def _forecast(self) -> None:
        await self._in_time("forecast", self.present.queue.refresh)

    async def _in_time(self, name: str, step: Callable[[], Awaitable[None]]) -> None:
        if not self.ready:
            return
        try:
            await step()
        except Exception as error:  # noqa: BLE001 - it would end Faust, and with it the desk; the next round tries again
            log.error("round_failed", round=name, error=type(error).__name__)  # noqa: TRY400 - its traceback may quote text


def _faust_app(
    settings: ReviewSettings,
    cluster: Cluster,
    loop: asyncio.AbstractEventLoop,
    context: ssl.SSLContext | None,
) -> faust.App:
    brokers = [URL(f"kafka://{server.strip()}") for server in settings.bootstrap.split(",")]
    return faust.App(
        settings.app_id,
        broker=brokers,
        broker_credentials=faust_credentials(settings, context),
        # A killed desk's partitions are free again after this time instead of Faust's 60 s.
        broker_session_timeout=6.0,
        broker_heartbeat_interval=1.0,
        store="rocksdb://" if settings.store == "rocksdict" else "memory://",
        datadir=settings.folder,
        topic_replication_factor=cluster.replication_factor,
        topic_disable_leader=True,
        producer_acks=-1,
        producer_max_request_size=MAX_RECORD,
        consumer_max_fetch_size=MAX_RECORD,
        # An event whose agent was cancelled or failed is delivered again instead of being acknowledged.
        stream_ack_cancelled_tasks=False,
        stream_ack_exceptions=False,
        web_enabled=False,
        autodiscover=False,
        loop=loop,
    )


def _raw_topic(app: faust.App, name: str) -> Any:
    # Faust passes bytes through, null values included: `schemas.codec` decides what is readable.
    return app.topic(
        name, key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw", allow_empty=True
    )
