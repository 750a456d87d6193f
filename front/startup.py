"""Checks everything before the first request, as the worker does, and puts the front together."""

from collections.abc import Mapping
from typing import Final

import structlog

from engine.bundle import Bundle
from engine.contract import Engine
from engine.errors import SettingsError
from engine.policy import Policy
from engine.task import Task
from front.finding import Findings
from front.line import Line
from front.metrics import FrontMetrics
from front.openai import OpenAiDialect
from front.perspective import PerspectiveDialect, attribute_name
from front.reading import ReadingThread
from front.server import Front, application
from front.service import Service
from front.settings import ENV_PREFIX, FrontSettings
from worker.settings import Settings
from worker.startup import open_engine, policy_of, tell_thresholds
from worker.stream.pace import Pace
from worker.stream.pipeline import Pipeline
from worker.stream.routing import Routing
from worker.stream.screener import Screener
from worker.stream.watchdog import Watchdog

log = structlog.get_logger()

REMEDY: Final = (
    "this process ends, to be started again, and its callers get no answer: look at the device, and raise "
    "MIMAMORI_WATCHDOG_FLOOR_S if it is only slow"
)
_DIGITS: Final = 12  # of a fingerprint, where people read it


def start(settings: Settings, own: FrontSettings) -> Service:
    """Check everything, load the bundle, warm the engine. Raises FatalError saying what to do."""
    if settings.more_bundles or settings.canary_bundle is not None:
        raise SettingsError(
            "a front screens with one bundle: remove MIMAMORI_MORE_BUNDLES and MIMAMORI_CANARY_BUNDLE, and "
            "start a front for each task"
        )
    bundle = Bundle.load(settings.bundle, trust=settings.trust)
    task = bundle.manifest.task
    engine = open_engine(settings, bundle)
    policy = policy_of(settings, bundle, engine.identity)
    tell_thresholds(bundle, policy)
    if not (own.on_loopback or own.tls_certificate):
        log.warning("texts_come_in_plain_text", advice="let something in front of this process speak TLS")
    return assemble(settings, own, engine, task=task, fingerprint=bundle.fingerprint, policy=policy)


def assemble(
    settings: Settings,
    own: FrontSettings,
    engine: Engine,
    *,
    task: Task,
    fingerprint: str,
    policy: Policy,
) -> Service:
    """Put a front together.

    Args:
        settings: The worker's settings: limits of batches and texts, drain, watchdog, health.
        own: The front's settings.
        engine: Reads the texts; the service's thread owns it from now on.
        task: What the engine screens for.
        fingerprint: The bundle's fingerprint.
        policy: The thresholds in force.

    Raises SettingsError: a name is mapped to a task that the bundle does not screen for.
    """
    categories = _names(task.name, task.name, own.categories, "CATEGORIES")
    attributes = _names(task.name, attribute_name(task.name), own.attributes, "ATTRIBUTES")
    metrics, pace = FrontMetrics(), Pace()
    line = Line(
        pace,
        deadline_s=own.deadline_s,
        batch_s=own.batch_s,
        max_tokens=settings.max_tokens,
        max_records=settings.max_records,
        max_message_tokens=settings.max_message_tokens,
    )
    metrics.watch_line(lambda: line.waiting_tokens)
    metrics.engine(
        engine=engine.describe(),
        device=engine.device,
        precision=engine.precision,
        bundle=fingerprint,
        task=task.name,
        reading=engine.reading,
    )
    front = Front(own, line, Findings(engine, policy, task, fingerprint), metrics, settings.max_text_chars)
    web = application(
        front,
        own,
        OpenAiDialect(f"{task.name}-{fingerprint[:_DIGITS]}", categories, own.max_texts),
        PerspectiveDialect(attributes, policy.languages),
        attributes,
    )
    reading = ReadingThread(
        Screener(Routing(Pipeline(task, engine, policy, fingerprint))),
        line,
        pace,
        Watchdog(settings.watchdog_floor_s, settings.watchdog_factor, pace, remedy=REMEDY),
        metrics,
    )
    return Service(settings, own, web, line, reading, metrics)


def _names(task: str, own_name: str, mapped: Mapping[str, str], setting: str) -> list[str]:
    """The names under which an answer has the task's score."""
    if strange := sorted(name for name, of in mapped.items() if of != task):
        raise SettingsError(
            f"{ENV_PREFIX}{setting} maps {', '.join(strange)} to a task that the bundle does not screen for, "
            f"which is {task}"
        )
    return [own_name, *(name for name in mapped if name != own_name)]
