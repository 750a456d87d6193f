"""The whole worker except its model: every station, the caches and Kafka. Scores come from a text's hash.

So a soak tests the stream at its full speed, which no model limits. The zygote runs it; no command does.
"""

import faulthandler
import signal
import sys
from typing import Any

from engine.contract import Engine
from engine.policy import Policy, primary_language
from engine.task import load_task
from mimamori.soak.canned_engine import CannedEngine
from schemas.events import Thresholds
from worker.assembly import ProducerOf, Worker, assemble
from worker.cache.score_cache import open_cache
from worker.settings import Settings
from worker.stream.pipeline import Pipeline
from worker.stream.routing import Routing
from worker.telemetry.logs import configure_logs
from worker.telemetry.metrics import Metrics

TASK = load_task("stress")
FINGERPRINT = "canned"


def run(settings: dict[str, Any]) -> None:
    """Run one worker under these settings until SIGTERM."""
    serve(make(prepare(settings)))


def prepare(settings: dict[str, Any]) -> Settings:
    """Validate the settings, set up a worker's logs, and exit at once on a SIGTERM that comes before it runs.

    A SIGUSR1 writes the stack of every thread to the log. The soak sends it when the stream stands still.
    """
    valid = Settings.model_validate(settings)
    configure_logs(valid.log_format)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    faulthandler.register(signal.SIGUSR1)
    return valid


def make(settings: Settings, engine: Engine | None = None, producer_of: ProducerOf | None = None) -> Worker:
    """Make a worker as `worker.startup.start` does, but without a bundle: the settings give the policy."""
    metrics = Metrics(shadow=settings.shadow)
    engine = engine or CannedEngine(levels=len(TASK.level_names))
    cache = open_cache(settings, engine.identity, metrics)
    routing = Routing(Pipeline(TASK, engine, _policy(settings), FINGERPRINT, cache))
    return assemble(settings, routing, metrics=metrics, producer_of=producer_of)


def serve(worker: Worker) -> None:
    """Run until SIGTERM and then drain, as `mimamori run` does. Raises FatalError."""
    signal.signal(signal.SIGTERM, lambda *_: worker.app.stop())
    worker.run()


def _policy(settings: Settings) -> Policy:
    defaults = TASK.policy
    lower = defaults.lower if settings.lower is None else settings.lower
    upper = defaults.upper if settings.upper is None else settings.upper
    share = settings.quality_sample_share
    return Policy(
        Thresholds(lower, upper, "settings"),
        defaults.quality_sample_share if share is None else share,
        frozenset(map(primary_language, TASK.languages)),
    )
