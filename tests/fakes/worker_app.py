"""Assembles a worker from fakes or real parts and runs it on a thread, for tests of the stream."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from engine.contract import Engine
from engine.policy import Policy
from engine.task import load_task
from mimamori.soak.canned_engine import CannedEngine
from schemas.events import Thresholds
from tests.fakes.memory_broker import MemoryInHandTopic
from tracing.spans import Tracer
from worker.app import App
from worker.assembly import assemble
from worker.cache.score_cache import NoCache, ScoreCache
from worker.kafka import Consumer, InHandTopic, Producer, RebalanceListener
from worker.registry.known import Registry
from worker.settings import Settings
from worker.stream.pipeline import Pipeline
from worker.stream.room import Room
from worker.stream.routing import Routing
from worker.telemetry.metrics import Metrics

POLICY = Policy(Thresholds(0.3, 0.7, "test"), quality_sample_share=0.0)


def build_app(
    settings: Settings,
    *,
    engine: Engine | None = None,
    cache: ScoreCache | None = None,
    policy: Policy = POLICY,
    metrics: Metrics | None = None,
    room: Room | None = None,
    notes: InHandTopic | None = None,
    tracer: Tracer | None = None,
    routing: Routing | None = None,
    registry: Registry | None = None,
) -> App:
    """Build an app for the `stress` task, on a canned engine, unless others are given."""
    return assemble(
        settings,
        routing or Routing(build_pipeline(engine, cache, policy)),
        metrics=metrics or Metrics(shadow=settings.shadow),
        room=room or {},
        in_hand=notes or MemoryInHandTopic(),
        tracer=tracer,
        registry=registry,
    ).app


def build_pipeline(
    engine: Engine | None = None,
    cache: ScoreCache | None = None,
    policy: Policy = POLICY,
    *,
    task: str = "stress",
    fingerprint: str = "fingerprint",
) -> Pipeline:
    """Build a pipeline for a shipped task, on a canned engine unless another is given."""
    loaded = load_task(task)
    read_by = engine or CannedEngine(levels=len(loaded.level_names))
    return Pipeline(loaded, read_by, policy, fingerprint, cache or NoCache())


class Running:
    """An app that runs on its thread. `error` is the exception that ended it, if any."""

    def __init__(
        self, app: App, consumer_of: Callable[[RebalanceListener], Consumer], producer: Producer
    ) -> None:
        self.app = app
        self.error: BaseException | None = None

        def target() -> None:
            try:
                app.run(consumer_of, producer)
            except BaseException as error:  # noqa: BLE001 - handed to the test
                self.error = error

        self.thread = threading.Thread(target=target, daemon=True)
        self.thread.start()

    def stop(self, timeout_s: float = 30) -> None:
        """Let the app drain, and wait until it has ended."""
        self.app.stop()
        self.thread.join(timeout_s)
        assert not self.thread.is_alive(), "the worker did not stop"


@contextmanager
def running(
    app: App, consumer_of: Callable[[RebalanceListener], Consumer], producer: Producer
) -> Iterator[Running]:
    """Run an app while the block runs. If the app failed, its error is raised at the end."""
    worker = Running(app, consumer_of, producer)
    try:
        yield worker
    finally:
        worker.stop()
    if worker.error is not None:
        raise worker.error


def settings(folder: Path | None = None, **overrides: object) -> Settings:
    """Return settings for a test: a free health port and short waits for a batch."""
    values: dict[str, object] = {
        "health_port": 0,
        "max_wait_ms": 5,
        "bundle": folder or Path("bundle"),
        **overrides,
    }
    return Settings.model_validate(values)


def wait_for(condition: Callable[[], bool], timeout_s: float = 30, why: str = "condition") -> None:
    """Poll a condition until it holds."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"waited {timeout_s} s for {why}"
        time.sleep(0.005)
