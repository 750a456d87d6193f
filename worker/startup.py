"""Checks everything before the first record is read, in the order in which a person would check it.

These are the settings, the bundles and their checksums, the broker and its topics, the device that really
runs, and the transactional id. Where one of them is wrong, the start fails with an error.
"""

import dataclasses
import gc
from collections.abc import Sequence
from typing import NamedTuple

import structlog
from pydantic import SecretStr

from engine.bundle import Bundle
from engine.contract import Engine
from engine.errors import SettingsError, extra_for
from engine.identity import ScoreIdentity
from engine.load import load_engines
from engine.policy import Policy, primary_language, would_clear_all
from schemas.rights import Names, rights_of
from schemas.topics import TopicDefinition, in_hand_topic, load_topics
from tracing.opening import open_tracer
from tracing.spans import Tracer
from worker.assembly import Worker, assemble, open_producer
from worker.cache.score_cache import open_cache
from worker.errors import BrokerError, RegistryError
from worker.kafka.rights import require_rights
from worker.kafka.topics import TopicState, read_topics
from worker.registry.client import RegistryClient
from worker.registry.label_writing import FramedLabels
from worker.registry.writers import require_avro
from worker.settings import Settings
from worker.stream.pipeline import Pipeline
from worker.stream.room import find_room
from worker.stream.routing import Canary, Routing
from worker.telemetry.metrics import Metrics

log = structlog.get_logger()

# A batch of thousands of records makes and drops tens of thousands of lists and tuples, none in a cycle. At
# Python's default of 700, the collector scans them again and again, which costs a tenth of the throughput.
COLLECT_EVERY = 100_000


def start(settings: Settings) -> Worker:
    """Check everything, load the bundle, warm the engine. Raises FatalError saying what to do."""
    if settings.allow_insecure:
        log.warning("insecure_allowed", names=sorted(settings.allow_insecure))
    greet_registry(settings)
    framed = FramedLabels.of(settings)
    bundles = load_bundles(settings)
    require_rights(
        settings.client_config, rights_of("shadow" if settings.shadow else "worker", names(settings))
    )
    topics = require_topics(settings)
    room = find_room(topics, settings.client_config)
    if compacted := compacted_messages(topics):
        log.warning("messages_topic_is_compacted", advice=compacted)
    metrics = Metrics(shadow=settings.shadow)
    tracer = open_spans(settings, metrics)
    routing = open_routing(settings, bundles, metrics)
    worker = assemble(settings, routing, metrics=metrics, room=room, tracer=tracer, framed=framed)
    producer = open_producer(settings, room)  # opened now, so that an id that Kafka refuses fails the start
    return dataclasses.replace(worker, producer_of=lambda: producer)


class Bundles(NamedTuple):
    """The bundles of the settings: one for each task, the default task's first, and perhaps a candidate."""

    of_tasks: list[Bundle]
    canary: Bundle | None

    @property
    def every(self) -> list[Bundle]:
        """All of them, the candidate last."""
        return [*self.of_tasks, *([] if self.canary is None else [self.canary])]


def load_bundles(settings: Settings) -> Bundles:
    """Read and verify every bundle of the settings.

    Raises BundleError: as Bundle.load. SettingsError: two are of one task, or the candidate is of no task
    that is served, or is no other bundle.
    """
    served: dict[str, Bundle] = {}
    for folder in (settings.bundle, *settings.more_bundles):
        bundle = Bundle.load(folder, trust=settings.trust)
        task = bundle.manifest.task.name
        if task in served:
            raise SettingsError(
                f"{served[task].path} and {folder} both screen for {task}: name one of them, or make the new "
                "one MIMAMORI_CANARY_BUNDLE"
            )
        served[task] = bundle
    if settings.canary_bundle is None:
        return Bundles(list(served.values()), None)
    canary = Bundle.load(settings.canary_bundle, trust=settings.trust)
    old = served.get(canary.manifest.task.name)
    if old is None:
        raise SettingsError(
            f"MIMAMORI_CANARY_BUNDLE screens for {canary.manifest.task.name}, and this worker for "
            f"{', '.join(served)}: it is a further task, so name it in MIMAMORI_MORE_BUNDLES"
        )
    if old.fingerprint == canary.fingerprint:
        raise SettingsError(
            f"MIMAMORI_CANARY_BUNDLE is {old.fingerprint[:12]}, which runs already: remove it or take another"
        )
    return Bundles(list(served.values()), canary)


def open_routing(settings: Settings, bundles: Bundles, metrics: Metrics) -> Routing:
    """Load and warm an engine for each bundle, and say which messages go to it. Raises as `start` does."""
    engines = open_engines(settings, bundles.every)
    pipelines = [
        _pipeline(settings, bundle, engine, metrics)
        for bundle, engine in zip(bundles.every, engines, strict=True)
    ]
    for bundle in bundles.of_tasks:
        if bundle.expected is not None:
            metrics.expect(
                bundle.manifest.task.name, bundle.fingerprint, bundle.expected, settings.drift_window
            )
    if bundles.canary is None:
        return Routing(*pipelines)
    *of_tasks, on_trial = pipelines
    log.info("canary", bundle=on_trial.fingerprint[:12], share=settings.canary_share)
    return Routing(*of_tasks, canary=Canary(on_trial, settings.canary_share))


def _pipeline(settings: Settings, bundle: Bundle, engine: Engine, metrics: Metrics) -> Pipeline:
    task = bundle.manifest.task
    log.info(
        "engine_ready",
        engine=engine.describe(),
        bundle=bundle.fingerprint[:12],
        task=task.name,
        scored_by=engine.identity.name,
    )
    policy = policy_of(settings, bundle, engine.identity)
    tell_thresholds(bundle, policy)
    cache = open_cache(_own_cache(settings), engine.identity, metrics)
    return Pipeline(task, engine, policy, bundle.fingerprint, cache)


def open_spans(settings: Settings, metrics: Metrics) -> Tracer | None:
    """The tracer of the settings; None where they name no collector. Raises MissingExtraError."""
    with extra_for("sending spans to MIMAMORI_TRACES_ENDPOINT", "traces"):
        return open_tracer(
            settings.spans_to,
            lambda outcome, spans: metrics.count("mimamori_spans_total", spans, outcome=outcome),
            service="mimamori-shadow" if settings.shadow else "mimamori-worker",
            ratio=settings.traces_ratio,
            at_most=settings.traces_at_most,
        )


def greet_registry(settings: Settings) -> None:
    """Ask the schema registry, where there is one, for its formats.

    Raises MissingExtraError. RegistryError: it refuses this worker, or is no registry. One that cannot be
    reached is waited for later: plain messages need none, until the first framed one is at the head of what
    this worker reads. From then on all its partitions wait.
    """
    if not settings.schema_registry_url:
        return
    require_avro()
    try:
        RegistryClient(settings).formats()
    except RegistryError as error:
        if error.refused:
            raise
        log.warning("schema_registry_away", error=str(error), framed_messages="wait for it")


def settle_memory() -> None:
    """Freeze loaded objects, so that the garbage collector skips them, and make it run less often."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(COLLECT_EVERY)


def names(settings: Settings) -> Names:
    """The names that this worker's rights are about."""
    return Names(settings.topic_prefix, settings.group, settings.own_transactional_id)


def require_topics(settings: Settings) -> list[TopicState]:
    """The topics' states. Raises BrokerError where Kafka cannot be reached, or a topic is missing."""
    wanted = [topic for topic in load_topics(settings.topic_prefix) if _is_used(topic, settings)]
    states = read_topics(settings.client_config, wanted)
    missing = [state.definition.name for state in states if state.partitions is None]
    if missing:
        raise BrokerError(
            f"missing on {settings.bootstrap}: {', '.join(missing)}; run `mimamori topics apply`"
        )
    return states


def _is_used(topic: TopicDefinition, settings: Settings) -> bool:
    """Whether this worker needs the topic. Only a shadow writes shadow labels, and it writes nothing else."""
    outcomes = {"shadow-label"} if settings.shadow else {"label", "review-case", "dead-letter"}
    return topic.name == in_hand_topic(settings.topic_prefix) or topic.event in outcomes | {"message"}


def _own_cache(settings: Settings) -> Settings:
    """The cache's settings: a shadow's scores must not take the place of the workers' in Redis."""
    return settings.model_copy(update={"redis_url": SecretStr("")}) if settings.shadow else settings


def compacted_messages(topics: Sequence[TopicState]) -> str | None:
    """A warning where the messages topic is compacted; None where it is not."""
    for state in topics:
        if state.definition.event == "message" and state.compacted:
            return (
                f"{state.definition.name} is compacted: of two messages with one key the older may be "
                "removed before anyone screened it; use cleanup.policy=delete, or a key for each message"
            )
    return None


def tell_thresholds(bundle: Bundle, policy: Policy) -> None:
    """Log the thresholds in force, and what `mimamori calibrate` stated of them."""
    thresholds = policy.thresholds
    said = bundle.statement_of(thresholds)
    log.info(
        "thresholds",
        lower=thresholds.lower,
        upper=thresholds.upper,
        calibration=thresholds.calibration,
        states="no bound" if said is None else str(said),
    )


def policy_of(settings: Settings, bundle: Bundle, scored_by: ScoreIdentity) -> Policy:
    """The policy for scores of `scored_by`, with the thresholds of the settings or else of the bundle.

    The bundle's are the calibration's, or else the task's. Raises BundleError: the thresholds were fitted on
    other scores. SettingsError: they clear every message.
    """
    task = bundle.manifest.task
    thresholds = bundle.thresholds_for(scored_by, settings.lower, settings.upper)
    lower = thresholds.lower
    if would_clear_all(thresholds, bundle.highest):
        if not settings.allow_clear_all:
            raise SettingsError(
                f"with a lower threshold of {lower:g} every message would be clear{_reach(bundle)}: "
                "lower MIMAMORI_LOWER, or set MIMAMORI_ALLOW_CLEAR_ALL=true"
            )
        log.warning("everything_is_cleared", lower=lower, allowed_by="MIMAMORI_ALLOW_CLEAR_ALL")
    share = task.policy.quality_sample_share
    return Policy(
        thresholds,
        share if settings.quality_sample_share is None else settings.quality_sample_share,
        frozenset(map(primary_language, task.languages)),
    )


def _reach(bundle: Bundle) -> str:
    """State the highest score of an example, where that is known."""
    return "" if bundle.highest is None else f" (the highest score of an example is {bundle.highest:.3f})"


def open_engine(settings: Settings, bundle: Bundle) -> Engine:
    """Load the engine of one bundle. The engine says what really runs. Raises DeviceError, BundleError."""
    (engine,) = open_engines(settings, [bundle])
    return engine


def open_engines(settings: Settings, bundles: Sequence[Bundle]) -> list[Engine]:
    """Load an engine for each bundle, as the settings say. Raises DeviceError, BundleError."""
    return load_engines(
        bundles,
        device=settings.device,
        precision=settings.precision,
        threads=settings.threads,
        max_message_tokens=settings.max_message_tokens,
        device_tokens=settings.device_tokens,
        arena_bytes=settings.gpu_memory_mb << 20 or None,
        highlights_from=[_least_highlighted(settings, bundle) for bundle in bundles],
    )


def _least_highlighted(settings: Settings, bundle: Bundle) -> float | None:
    """The risk from which messages get highlights: a person looks at them."""
    if not settings.highlights:
        return None
    if settings.lower is not None or bundle.calibration is None:
        return settings.lower
    return bundle.calibration.lower
