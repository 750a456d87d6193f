"""Wires the desk: the Faust app, table and agents, and what the web server needs to know about them.

Faust runs the stateful part (table, changelog, recovery). Its own web server is off, and it creates no topics
of others. Processing is at least once on purpose: Faust's exactly-once fences by group id only, and leaves
topics that it only produces to outside the transaction.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import faust
from faust.auth import SASLCredentials, SSLCredentials
from yarl import URL

from review.desk import Desk
from review.kafka.agents import Agents
from review.kafka.cluster import Cluster
from review.kafka.table import MAX_RECORD, CaseTable
from review.kafka.transport import ReadCommittedTransport
from review.metrics import DeskMetrics
from review.settings import ReviewSettings
from schemas.codec import encode
from schemas.events import ReviewDecision
from schemas.headers import event_headers


class ReviewApp:
    """One desk: everything between Kafka and the web server."""

    def __init__(self, settings: ReviewSettings, cluster: Cluster, loop: asyncio.AbstractEventLoop) -> None:
        self.settings = settings
        self.cluster = cluster
        self.metrics = DeskMetrics()
        self.faust = _faust_app(settings, cluster, loop)
        self.table = CaseTable(
            self.faust,
            partitions=cluster.partitions,
            compaction_hours=settings.changelog_compaction_hours,
            rocksdb=settings.store == "rocksdict",
        )
        cases = _raw_topic(self.faust, settings.cases_topic)
        decisions = _raw_topic(self.faust, settings.decisions_topic)
        self.desk = Desk(self.table, _producer(decisions), confirm_seconds=settings.confirm_seconds)
        agents = Agents(self.table, self.desk, self.metrics, keep_days=settings.keep_markers_days)
        self.faust.agent(cases, name="cases")(agents.cases)
        self.faust.agent(decisions, name="decisions")(agents.decisions)

    @property
    def held_partitions(self) -> int:
        """The number of partitions of cases that this desk holds now; other desks hold the others."""
        if not self.faust.consumer.started:
            return 0
        return sum(tp.topic == self.settings.cases_topic for tp in self.faust.consumer.assignment())

    @property
    def ready(self) -> bool:
        """Whether the table is recovered and this desk holds a part of the queue."""
        tables = self.faust.tables
        return bool(tables.actives_ready and not self.faust.rebalancing and self.held_partitions)


def _faust_app(settings: ReviewSettings, cluster: Cluster, loop: asyncio.AbstractEventLoop) -> faust.App:
    brokers = [URL(f"kafka://{server.strip()}") for server in settings.bootstrap.split(",")]
    app = faust.App(
        settings.app_id,
        broker=brokers,
        broker_credentials=_credentials(settings),
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
    app.transport = ReadCommittedTransport(brokers, app, loop=loop)
    return app


def _credentials(settings: ReviewSettings) -> SASLCredentials | SSLCredentials | None:
    context = settings.ssl_context()
    if settings.security_protocol.startswith("SASL"):
        password = settings.sasl_password
        return SASLCredentials(
            username=settings.sasl_username,
            password=password.get_secret_value() if password else None,
            mechanism=settings.sasl_mechanism,
            ssl_context=context,
        )
    return None if context is None else SSLCredentials(context)


def _raw_topic(app: faust.App, name: str) -> Any:
    # Faust passes bytes through, null values included: `schemas.codec` decides what is readable.
    return app.topic(
        name, key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw", allow_empty=True
    )


def _producer(topic: Any) -> Callable[[ReviewDecision, int], Awaitable[object]]:
    async def produce(decision: ReviewDecision, partition: int) -> object:
        sent = await topic.send(
            key=decision.case_id.encode(),
            value=encode(decision),
            headers=event_headers(decision),
            # The partition is given, not hashed from the key: a decision must arrive in the partition of its
            # case, whatever partitioner the worker's producer used.
            partition=partition,
        )
        return await sent

    return produce
