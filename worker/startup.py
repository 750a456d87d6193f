"""Checks everything before the first record is read, in the order in which a person would check it.

These are the settings, the bundle and its checksums, the broker and its topics, the device that really runs,
and the transactional id. Where one of them is wrong, the start fails with an error.
"""

import dataclasses
import gc
from collections.abc import Sequence

import structlog
from pydantic import SecretStr

from engine.bundle import Bundle
from engine.contract import Engine
from engine.errors import SettingsError, extra_for
from engine.identity import ScoreIdentity
from engine.load import load_engine
from engine.policy import Policy, primary_language, would_clear_all
from schemas.rights import Names, rights_of
from schemas.topics import TopicDefinition, in_hand_topic, load_topics
from tracing.opening import open_tracer
from tracing.spans import Tracer
from worker.assembly import Worker, assemble, open_producer
from worker.cache.score_cache import open_cache
from worker.errors import BrokerError
from worker.kafka.rights import require_rights
from worker.kafka.topics import TopicState, read_topics
from worker.settings import Settings
from worker.stream.room import find_room
from worker.telemetry.metrics import Metrics

log = structlog.get_logger()

# A batch of thousands of records makes and drops tens of thousands of lists and tuples, none in a cycle. At
# Python's default of 700, the collector scans them again and again, which costs a tenth of the throughput.
COLLECT_EVERY = 100_000


def start(settings: Settings) -> Worker:
    """Check everything, load the bundle, warm the engine. Raises FatalError saying what to do."""
    if settings.allow_insecure:
        log.warning("insecure_allowed", names=sorted(settings.allow_insecure))
    bundle = Bundle.load(settings.bundle, trust=settings.trust)
    require_rights(
        settings.client_config, rights_of("shadow" if settings.shadow else "worker", names(settings))
    )
    topics = require_topics(settings)
    room = find_room(topics, settings.client_config)
    if compacted := compacted_messages(topics):
        log.warning("messages_topic_is_compacted", advice=compacted)
    metrics = Metrics(shadow=settings.shadow)
    tracer = open_spans(settings, metrics)
    engine = open_engine(settings, bundle)
    log.info(
        "engine_ready",
        engine=engine.describe(),
        bundle=bundle.fingerprint[:12],
        task=bundle.manifest.task.name,
        scored_by=engine.identity.name,
    )
    if bundle.expected is not None:
        metrics.expect(bundle.expected, settings.drift_window)
    policy = policy_of(settings, bundle, engine.identity)
    tell_thresholds(bundle, policy)
    worker = assemble(
        settings,
        engine,
        task=bundle.manifest.task,
        fingerprint=bundle.fingerprint,
        policy=policy,
        cache=open_cache(_own_cache(settings), engine.identity, metrics),
        metrics=metrics,
        room=room,
        tracer=tracer,
    )
    producer = open_producer(settings, room)  # opened now, so that an id that Kafka refuses fails the start
    return dataclasses.replace(worker, producer_of=lambda: producer)


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
    """Load the engine of the settings. The engine says what really runs. Raises DeviceError, BundleError."""
    lower = settings.lower
    if lower is None and bundle.calibration is not None:
        lower = bundle.calibration.lower
    return load_engine(
        bundle,
        device=settings.device,
        precision=settings.precision,
        threads=settings.threads,
        max_message_tokens=settings.max_message_tokens,
        device_tokens=settings.device_tokens,
        arena_bytes=settings.gpu_memory_mb << 20 or None,
        highlights_from=lower if settings.highlights else None,
    )
