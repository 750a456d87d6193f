"""Checks everything that a worker needs, one after the other, and says what to do about each fault.

A failed check does not end the run: every other check is made, but for those that depend on it.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Literal

import msgspec

from engine.bundle import Bundle
from engine.contract import Engine
from engine.errors import FatalError
from engine.identity import ScoreIdentity
from schemas.events import Thresholds
from worker.assembly import open_schemas
from worker.cache.redis_client import ping
from worker.kafka.group_settings import heartbeat_ms
from worker.registry.client import RegistryClient
from worker.registry.label_writing import FramedLabels
from worker.security import describe_kafka, describe_redis
from worker.settings import Settings
from worker.startup import (
    Bundles,
    compacted_messages,
    load_bundles,
    open_engines,
    open_spans,
    policy_of,
    require_topics,
)
from worker.stream.room import find_room
from worker.telemetry.logs import where
from worker.telemetry.metrics import Metrics

SAMPLE = "long week, but we are all right"
LONG_HEARTBEAT_MS = 1000  # above it, a rolling upgrade is quieter with the protocol `classic`


class Finding(msgspec.Struct, frozen=True):
    """The result of one check. `detail` is what was found, or what to do."""

    check: str
    state: Literal["well", "wrong", "skipped"]
    detail: str


def examine(settings: Settings) -> Iterator[Finding]:
    """Make the checks one by one, and yield the finding of each."""
    bundles: Bundles | None = None
    engines: list[Engine] = []

    def read_bundles() -> str:
        nonlocal bundles
        bundles = load_bundles(settings)
        return "; ".join(_described(settings, bundle, bundles) for bundle in bundles.every)

    def read_one(bundles: Bundles) -> str:
        opened = open_engines(settings, bundles.every)
        for engine in opened:
            engine.read([SAMPLE])
        engines.extend(opened)
        runs = ", ".join(dict.fromkeys(engine.describe() for engine in engines))
        names = ", ".join(engine.identity.name for engine in engines)
        return f"{runs}; a message was read; labels name its scores {names}"

    yield _try("bundle", read_bundles)
    if bundles is None:
        yield Finding("device", "skipped", "needs a bundle")
        yield Finding("policy", "skipped", "needs a bundle")
    else:
        loaded = bundles
        yield _try("device", lambda: read_one(loaded))
        if not engines:
            yield Finding("policy", "skipped", "needs a device: thresholds hold only for what it scores")
        else:
            yield _try("policy", lambda: _policies(settings, loaded, engines))
    yield _registry(settings)
    url = settings.redis_url.get_secret_value()
    ways = [f"Kafka: {describe_kafka(settings.client_config)}"] + (
        [f"Redis: {describe_redis(url)}"] if url else []
    )
    yield Finding("transport", "well", "; ".join(ways))
    yield _try("traces", lambda: _traces(settings))
    yield _try("broker", lambda: _broker(settings))
    if settings.group_protocol == "consumer":
        yield _try("group", lambda: _group(settings))
    if url:
        yield _try("redis", lambda: f"version {ping(url, settings.redis_ca)}")
    else:
        yield Finding("redis", "skipped", "MIMAMORI_REDIS_URL is not set: scores are cached in process only")


def _described(settings: Settings, bundle: Bundle, bundles: Bundles) -> str:
    manifest = bundle.manifest
    depth = f"layer {manifest.layer}" if manifest.layer else f"all {manifest.source.layers} layers"
    if bundle.cascade is not None:
        depth += f", {bundle.cascade}"
    part = f" (canary, {settings.canary_share:.1%} of its messages)" if bundle is bundles.canary else ""
    what = f"{manifest.source.name}, task {manifest.task.name}{part}, {manifest.reading} reading, {depth}"
    return f"{what}, {bundle.windowing}; {bundle.fingerprint}; every file intact; {_origin(settings)}"


def _try(check: str, look: Callable[[], str]) -> Finding:
    try:
        return Finding(check, "well", look())
    except FatalError as error:
        return Finding(check, "wrong", str(error))
    except Exception as error:  # noqa: BLE001 - whatever this one raised, the next check must be made
        fault = f"{type(error).__name__} at {where(error)}"
        return Finding(check, "wrong", f"a fault of Mimamori, please report it: {fault}")


def _traces(settings: Settings) -> str:
    tracer = open_spans(settings, Metrics())
    if tracer is None or settings.spans_to is None:
        return "a message's trace goes on, and no spans are sent"
    tracer.close(0)
    return f"spans are sent to {settings.spans_to.url}; mimamori_spans_total counts what it takes"


def _registry(settings: Settings) -> Finding:
    if not settings.schema_registry_url:
        return Finding(
            "registry", "skipped", "MIMAMORI_SCHEMA_REGISTRY_URL is not set: messages are plain JSON"
        )

    def ask() -> str:
        open_schemas(settings, Metrics())
        client = RegistryClient(settings)
        said = f"{client.place} answers, with {', '.join(sorted(client.formats()))}"
        if (framed := FramedLabels.of(settings)) is None:
            return said
        return f"{said}; labels are written as {framed.form}, with schema {framed.schema_id}"

    return _try("registry", ask)


def _origin(settings: Settings) -> str:
    """How the bundle's origin was checked."""
    held = [
        "its fingerprint is allowed" if settings.bundle_fingerprint else "",
        f"signed by a key of {settings.bundle_public_key}" if settings.bundle_public_key else "",
    ]
    return " and ".join(filter(None, held)) or (
        "its origin is not checked: set MIMAMORI_BUNDLE_FINGERPRINT or MIMAMORI_BUNDLE_PUBLIC_KEY"
    )


def _policies(settings: Settings, bundles: Bundles, engines: Sequence[Engine]) -> str:
    pairs = list(zip(bundles.every, engines, strict=True))
    said = [_thresholds(settings, bundle, engine.identity) for bundle, engine in pairs]
    if len(pairs) == 1:
        return said[0]
    return "; ".join(f"{b.manifest.task.name}: {each}" for (b, _), each in zip(pairs, said, strict=True))


def _thresholds(settings: Settings, bundle: Bundle, scored_by: ScoreIdentity) -> str:
    policy = policy_of(settings, bundle, scored_by)
    thresholds = policy.thresholds
    return (
        f"clear below {thresholds.lower:.3f}, at_risk from {thresholds.upper:.3f} "
        f"(calibration: {thresholds.calibration}), {_stated(bundle, thresholds)}, "
        f"{policy.quality_sample_share:.1%} quality samples"
        f"{'; MIMAMORI_ALLOW_CLEAR_ALL is set' if settings.allow_clear_all else ''}"
    )


def _stated(bundle: Bundle, thresholds: Thresholds) -> str:
    said = bundle.statement_of(thresholds)
    return "no bound is stated (`mimamori calibrate` states one)" if said is None else str(said)


def _broker(settings: Settings) -> str:
    topics = require_topics(settings)
    find_room(topics, settings.client_config)
    warning = compacted_messages(topics)
    there = f"{settings.bootstrap} answers, the topics {settings.topic_prefix}… are there"
    return f"{there}; {warning}" if warning else there


def _group(settings: Settings) -> str:
    group, every = settings.own_group, heartbeat_ms(settings.client_config, settings.own_group)
    if every is None:
        return (
            f"{group}: Kafka does not say how often its members are heard, and so long do partitions wait "
            "that move: it may be older than 4.0, or the right to DescribeConfigs of the group is missing"
        )
    said = f"{group}: its members are heard every {every} ms, and so long do partitions wait that move"
    if every <= LONG_HEARTBEAT_MS:
        return said
    return (
        f"{said}: set its consumer.heartbeat.interval.ms to 500, which the brokers' "
        "group.consumer.min.heartbeat.interval.ms must allow, or take group_protocol classic"
    )
