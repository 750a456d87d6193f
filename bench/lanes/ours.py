"""Runs this worker with an engine that answers at once, or without one part, to see what the part costs."""

import os
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path

from bench.lanes.at_least_once import AtLeastOnceProducer, CommittingConsumer
from bench.lanes.job import Job
from engine.bundle import Bundle
from engine.contract import Engine
from engine.policy import Policy
from engine.task import load_task
from mimamori.soak.canned_engine import CannedEngine
from schemas.events import Thresholds
from worker.assembly import Worker, assemble
from worker.cache.score_cache import open_cache
from worker.kafka import Consumer, RebalanceListener
from worker.kafka.consumer import KafkaConsumer
from worker.kafka.record import Partition
from worker.settings import Settings
from worker.startup import open_engine, open_spans, settle_memory
from worker.stream.pipeline import Pipeline
from worker.stream.routing import Routing
from worker.telemetry.logs import configure_logs
from worker.telemetry.metrics import Metrics

# No message is escalated, so each record gets just one label, as from the peers.
ALL_CLEAR = Policy(Thresholds(1.0, 1.0, "none"), quality_sample_share=0.0)


def run(job: Job, name: str) -> None:
    """Run until SIGTERM, and then drain as the worker does."""
    configure_logs("console")
    settings = Settings.model_validate(
        {
            "bootstrap": job.bootstrap,
            "group": job.group,
            "topic_prefix": job.prefix,
            "health_port": 0,
            "transactional_id": f"{job.group}-{os.getpid()}",
            **(job.settings or {}),
        }
    )
    worker = assembled(settings, job, name)
    settle_memory()
    signal.signal(signal.SIGTERM, lambda *_: worker.app.stop())
    worker.run()


class NoNotes:
    """An `InHandTopic` that keeps nothing, to see what the notes cost. The worker never uses it."""

    def read(self, partitions: Sequence[Partition]) -> dict[Partition, bytes]:
        """Return nothing, because nothing was written."""
        del partitions
        return {}

    def write(self, notes: Mapping[Partition, bytes]) -> None:
        """Discard the notes."""

    def settle(self) -> None:
        """Return at once, because no write is pending."""

    def close(self) -> None:
        """Do nothing, because nothing is open."""


def assembled(settings: Settings, job: Job, name: str) -> Worker:
    """Assemble the worker as usual, except for the parts that this lane replaces."""
    task = load_task("stress")
    engine: Engine
    if job.bundle:
        bundle = Bundle.load(Path(job.bundle))
        engine = open_engine(settings, bundle)
        task, fingerprint = bundle.manifest.task, bundle.fingerprint
    else:
        engine = CannedEngine(levels=len(task.level_names), seconds_per_message=job.seconds_per_message)
        fingerprint = "0" * 64
    metrics = Metrics()
    plain = AtLeastOnceProducer(settings.client_config) if "at-least-once" in name else None

    def consumer_of(listener: RebalanceListener) -> Consumer:
        # A lane reads the topic of its job, which is not the one that the settings' prefix names.
        if plain is None:
            return KafkaConsumer(settings.client_config, job.group, job.messages, listener)
        plain.consumer = CommittingConsumer(settings.client_config, job.group, job.messages, listener)
        return plain.consumer

    return assemble(
        settings,
        Routing(
            Pipeline(task, engine, ALL_CLEAR, fingerprint, open_cache(settings, engine.identity, metrics))
        ),
        metrics=metrics,
        tracer=open_spans(settings, metrics),
        in_hand=NoNotes() if "no notes" in name else None,
        consumer_of=consumer_of,
        producer_of=None if plain is None else lambda: plain,
    )
