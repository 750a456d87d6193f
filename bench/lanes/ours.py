"""This worker, put together as `worker.startup` does it, but for the engine and, if asked, the producer."""

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
from worker.app import App
from worker.cache.score_cache import open_cache
from worker.kafka import Consumer, InHandTopic, Producer, RebalanceListener
from worker.kafka.consumer import KafkaConsumer
from worker.kafka.producer import KafkaProducer
from worker.kafka.record import Partition
from worker.settings import Settings
from worker.startup import open_engine, open_in_hand_topic, settle_memory
from worker.stream.in_hand import InHand
from worker.stream.intake import Intake
from worker.stream.outcome import Outcomes
from worker.stream.screener import Screener
from worker.telemetry.logs import configure_logs
from worker.telemetry.metrics import Metrics

# Nobody is escalated: a label per record, as the peers write.
ALL_CLEAR = Policy(Thresholds(1.0, 1.0, "none"), quality_sample_share=0.0)


def run(job: Job, name: str) -> None:
    """Until SIGTERM: then the worker's own drain."""
    configure_logs("console")
    settings = Settings.model_validate(
        {
            "bootstrap": job.bootstrap,
            "group": job.group,
            "topic_prefix": job.prefix,
            "health_port": 0,
            **(job.settings or {}),
        }
    )
    notes = NoNotes() if "no notes" in name else open_in_hand_topic(settings)
    app = assemble(settings, job, notes)
    settle_memory()
    signal.signal(signal.SIGTERM, lambda *_: app.stop())
    producer: Producer
    if "at-least-once" in name:
        producer = plain = AtLeastOnceProducer(settings.client_config)

        def join(listener: RebalanceListener) -> Consumer:
            plain.consumer = CommittingConsumer(settings.client_config, job.group, job.messages, listener)
            return plain.consumer
    else:
        producer = KafkaProducer(settings.client_config, f"{job.group}-{os.getpid()}")

        def join(listener: RebalanceListener) -> Consumer:
            return KafkaConsumer(settings.client_config, job.group, job.messages, listener)

    app.run(join, producer)


class NoNotes:
    """An `InHandTopic` that keeps nothing, to see what the notes cost. Never used by the worker."""

    def read(self, partitions: Sequence[Partition]) -> dict[Partition, bytes]:
        """Nothing was written."""
        del partitions
        return {}

    def write(self, notes: Mapping[Partition, bytes]) -> None:
        """Forget them."""

    def settle(self) -> None:
        """Wait for nothing."""

    def close(self) -> None:
        """Nothing is open."""


def assemble(settings: Settings, job: Job, notes: InHandTopic) -> App:
    """The three stations, with the real cache and a canned or a real engine."""
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
    cache = open_cache(settings, engine.identity, metrics)
    in_hand = InHand(notes, metrics)
    return App(
        settings,
        lambda assignment, batches: Intake(settings, task.name, cache, assignment, metrics, batches, in_hand),
        Screener(engine, ALL_CLEAR, cache),
        Outcomes(
            settings,
            ALL_CLEAR,
            task.name,
            task.level_names,
            engine.reading,
            fingerprint,
            engine.identity.name,
        ),
        in_hand,
        metrics,
    )
