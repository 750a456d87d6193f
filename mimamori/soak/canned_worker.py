"""The whole worker but for its model: every station, the caches, Kafka; scores from a hash of the text.

So a soak tests the stream at the stream's own speed. Run by the zygote; no command starts it.
"""

import faulthandler
import signal
import sys
from pathlib import Path
from typing import Any

import numpy as np

from engine.bundle import Bundle, Manifest, Prompt, Source
from engine.bundle.reference import Reference
from engine.contract import Engine
from engine.task import load_task
from mimamori.soak.canned_engine import CannedEngine
from worker.cache.score_cache import open_cache
from worker.kafka.producer import KafkaProducer
from worker.settings import Settings
from worker.startup import Worker, assemble
from worker.telemetry.logs import configure_logs
from worker.telemetry.metrics import Metrics

TASK = load_task("stress")


def run(settings: dict[str, Any]) -> None:
    """One worker under these settings, until SIGTERM."""
    serve(make(prepare(settings)))


def prepare(settings: dict[str, Any]) -> Settings:
    """Validate the settings, log as a worker does, and leave at once on a SIGTERM before it is ready.

    A SIGUSR1 writes to the log where every thread is: the soak sends it where nothing moves any more.
    """
    valid = Settings.model_validate(settings)
    configure_logs(valid.log_format)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    faulthandler.register(signal.SIGUSR1)
    return valid


def make(settings: Settings, engine: Engine | None = None) -> Worker:
    """As `worker.startup.start` makes one, with a bundle that exists in memory only."""
    bundle = _bundle()
    metrics = Metrics()
    engine = engine or CannedEngine(levels=len(TASK.level_names))
    cache = open_cache(settings, engine.identity, metrics)
    app = assemble(settings, bundle, engine, cache, metrics)
    return Worker(app, settings, KafkaProducer(settings.client_config, settings.transactional_id))


def serve(worker: Worker) -> None:
    """As `mimamori run` does: until SIGTERM, then the drain. Raises FatalError."""
    signal.signal(signal.SIGTERM, lambda *_: worker.app.stop())
    worker.run()


def _bundle() -> Bundle:
    nothing = np.zeros((0, 0), np.int32)
    counts, scores = np.zeros(0, np.int32), np.zeros((0, 0), np.float32)
    manifest = Manifest(
        source=Source("canned", "none", "none", 0, 0, 0, 0, 0),
        task=TASK,
        prompt=Prompt("", "", ""),
        labels=(),
        reading="pooled",
        precision="fp32",
        opset=0,
        form="none",
        parity={},
        files={},
    )
    return Bundle(
        Path("canned"),
        manifest,
        "canned",
        Reference(nothing, counts, counts, scores, scores, scores),
        None,
        None,
    )
