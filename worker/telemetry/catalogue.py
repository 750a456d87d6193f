"""The catalogue of metrics: each name once, with its unit, its meaning, and what to do if it looks wrong.

`python -m ops.generate` makes rules, dashboard and runbook, and refuses what no catalogue lists. Labels never
carry message text or ids.
"""

from typing import Final, get_args

from schemas.metrics import Metric
from schemas.reasons import DeadLetterReason
from schemas.refusals import Reason as Refusal
from schemas.vocabulary import CaseKind, Verdict
from tracing.spans import SpanOutcome
from worker.telemetry.labels import CacheResult, Doubt, PassedOver, ResetReason, SchemaAnswer, Station

LATENCY_BUCKETS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800)
RISK_BUCKETS: Final = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 1)
CHARACTER_BUCKETS: Final = (10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 20_000)
SIZE_BUCKETS: Final = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000)

CATALOGUE: Final = (
    Metric(
        "mimamori_records_total",
        "counter",
        "records",
        "Records consumed.",
        "Flat while lag grows: see /readyz, then the log.",
    ),
    Metric(
        "mimamori_unreadable_headers_total",
        "counter",
        "records",
        "Records whose headers cannot be read (a name that is not UTF-8, or over 1,000 of them), or whose "
        "traceparent is malformed; they are screened like any other, without their trace.",
        "Rising: a producer writes broken headers; mend it, traces end there.",
    ),
    Metric(
        "mimamori_labels_total",
        "counter",
        "labels",
        "Labels committed, by verdict.",
        "A share that jumps: look at quality samples, then at what the platform changed.",
        ("verdict",),
        values=get_args(Verdict),
    ),
    Metric(
        "mimamori_labels_by_bundle_total",
        "counter",
        "labels",
        "Labels committed, by task, by the fingerprint of the bundle that decided, and by verdict.",
        "A canary's verdicts in other shares than those of its task's other bundle: people get more or less "
        "to look at; see `mimamori compare` before its share is raised.",
        ("task", "bundle", "verdict"),
    ),
    Metric(
        "mimamori_labels_by_depth_total",
        "counter",
        "labels",
        "Labels committed, by the depth that decided: how many layers of the network were read.",
        "With a cascade, a falling share at the shallow depth: the stream is no longer like the traffic that "
        "it was adapted on, or more of it is at risk, and workers are slower. Adapt again on recent traffic.",
        ("depth",),
    ),
    Metric(
        "mimamori_doubts_total",
        "counter",
        "labels",
        "Labels that say why their score may not be right, by reason (truncated, obfuscated, "
        "unsupported_language).",
        "A share that jumps: the stream has changed, or somebody evades; see `mimamori drift`.",
        ("reason",),
        values=get_args(Doubt),
    ),
    Metric(
        "mimamori_risk",
        "histogram",
        "risk",
        "Risks of the labels.",
        "Another shape than last week's: the stream, the bundle or the language of its messages has changed.",
        (),
        RISK_BUCKETS,
    ),
    Metric(
        "mimamori_message_characters",
        "histogram",
        "characters",
        "Lengths of the messages' texts.",
        "Longer than last week: more windows a message, and a lower rate.",
        (),
        CHARACTER_BUCKETS,
    ),
    Metric(
        "mimamori_drift_psi",
        "gauge",
        "index",
        "How far the last messages are from those that the bundle was adapted with, by task and signal, as "
        "population stability index; absent without drift.json in the bundle, and before 500 messages.",
        "From 0.25 on: the thresholds' bound may no longer hold. See `mimamori drift` and `mimamori "
        "miss-rate`, label some of today's messages, and adapt or calibrate again.",
        ("task", "signal"),
    ),
    Metric(
        "mimamori_review_cases_total",
        "counter",
        "cases",
        "Review cases committed, by kind.",
        "More than people can work: raise the upper threshold only with the safety lead.",
        ("kind",),
        values=get_args(CaseKind),
    ),
    Metric(
        "mimamori_dead_letters_total",
        "counter",
        "dead letters",
        "Dead letters committed, by reason.",
        "Read the reason; a producer sends what the schema does not allow. unscreenable: nobody screened "
        "these messages, have people read them; many at once: the device is failing, stop and look.",
        ("reason",),
        values=get_args(DeadLetterReason),
    ),
    Metric(
        "mimamori_deleted_unread_records_total",
        "counter",
        "records",
        "Records that Kafka deleted before any worker had read them: nobody screened these. An upper bound: "
        "transaction markers, and what compaction took, count as records.",
        "Any: the log names partition and offsets (records_deleted_unread); tell the safety lead, have the "
        "platform send them again, and see why: lag beyond the topic's retention, or deleted by somebody.",
    ),
    Metric(
        "mimamori_position_resets_total",
        "counter",
        "partitions",
        "Partitions not read on from their committed offset, by reason (retention, made_again, truncated).",
        "Any that you did not cause: made_again: somebody deleted and made the messages topic again. "
        "truncated: Kafka lost records; switch unclean leader election off. Both are read from their start.",
        ("reason",),
        values=get_args(ResetReason),
    ),
    Metric(
        "mimamori_deaths_in_hand_total",
        "counter",
        "partitions",
        "Partitions taken over from a worker that died with their records in the model's hands.",
        "Rising: a message kills or hangs workers, and is a dead letter after four deaths; died_in_hand in "
        "the log names the offsets. On and on: look at the device and the memory limit.",
    ),
    Metric(
        "mimamori_lost_highlights_total",
        "counter",
        "messages",
        "Messages whose highlights a fault has cost them; their labels and cases are whole otherwise.",
        "Any: see highlights_failed in the log, and report it; MIMAMORI_HIGHLIGHTS=false stops the search.",
    ),
    Metric(
        "mimamori_cache_lookups_total",
        "counter",
        "texts",
        "Texts looked up in the score cache, by result (local, redis, miss).",
        "Only misses with Redis up: workers do not share a cache_secret, or the bundle changed.",
        ("result",),
        values=get_args(CacheResult),
    ),
    Metric(
        "mimamori_cache_errors_total",
        "counter",
        "calls",
        "Redis calls that failed or timed out; each cost a miss, nothing else.",
        "Rising: check Redis. Screening goes on at the model's speed.",
    ),
    Metric(
        "mimamori_spans_total",
        "counter",
        "spans",
        "Spans by what became of them: sent, not_taken (by the collector), queue_full (they came faster than "
        "they could be sent), over_limit (more messages a second were sampled than may have a span). All 0 "
        "without MIMAMORI_TRACES_ENDPOINT.",
        "not_taken, queue_full: see to the collector; screening does not wait for it. over_limit: producers "
        "sample more than MIMAMORI_TRACES_AT_MOST; sample less there.",
        ("outcome",),
        values=get_args(SpanOutcome),
    ),
    Metric(
        "mimamori_schema_requests_total",
        "counter",
        "requests",
        "Schemas asked of the schema registry, by what became of it: found, unknown (it has none with this "
        "id; the messages are dead letters), failed (no answer that can be used; the records wait). All 0 "
        "without MIMAMORI_SCHEMA_REGISTRY_URL.",
        "failed: `mimamori doctor` says what is wrong between worker and registry. unknown: a producer "
        "writes to another registry, or invents ids.",
        ("outcome",),
        values=get_args(SchemaAnswer),
    ),
    Metric(
        "mimamori_batch_records",
        "histogram",
        "records",
        "Records in a batch.",
        "Always 1: max_wait_ms is too small.",
        (),
        SIZE_BUCKETS,
    ),
    Metric(
        "mimamori_station_seconds",
        "histogram",
        "seconds",
        "Seconds a batch spent in a station (screener, outbox).",
        "Screener high: add workers. Outbox high: look at the brokers.",
        ("station",),
        LATENCY_BUCKETS,
        values=get_args(Station),
    ),
    Metric(
        "mimamori_latency_seconds",
        "histogram",
        "seconds",
        "Seconds from a record's timestamp to its committed outcome.",
        "High with lag: add workers. High without: lower max_wait_ms and max_batch_s, or see to the brokers.",
        (),
        LATENCY_BUCKETS,
    ),
    Metric(
        "mimamori_aborts_total",
        "counter",
        "transactions",
        "Transactions aborted and rewound; nothing was lost or repeated.",
        "Steady: brokers are slow or the group rebalances all the time.",
    ),
    Metric(
        "mimamori_voided_batches_total",
        "counter",
        "batches",
        "Batches dropped because their assignment ended; their records are read again.",
        "Steady: batches take longer than revoke_s; lower max_batch_s.",
    ),
    Metric(
        "mimamori_in_flight_batches",
        "gauge",
        "batches",
        "Batches between poll and commit.",
        "Always max_batches: the model or the broker is the limit.",
    ),
    Metric(
        "mimamori_assigned_partitions",
        "gauge",
        "partitions",
        "Partitions this worker reads.",
        "0 for long: more workers than partitions, or the group cannot form.",
    ),
    Metric(
        "mimamori_partitions_without_reader",
        "gauge",
        "partitions",
        "Partitions of the messages topic that no member of the group reads, in two looks in a row while the "
        "group was stable. Each worker looks by itself, and all see the same group: take the maximum.",
        "Above 0 for more than minutes: what is in them waits, and no worker's lag shows it. Workers join "
        "their group anew in turn, which ends it (mimamori_rejoins_total).",
    ),
    Metric(
        "mimamori_rejoins_total",
        "counter",
        "events",
        "Times this worker left its group and joined it anew, so that partitions without a reader got one.",
        "Again and again: see partitions_without_reader in the log of the workers, and report it.",
    ),
    Metric(
        "mimamori_fetch_restarts_total",
        "counter",
        "partitions",
        "Partitions of this worker that its Kafka client had silently stopped to fetch; it fetches them anew "
        "from where it stood.",
        "Any: see partition_not_fetched in the log, and report it: a fault of the Kafka client, or of ours.",
    ),
    Metric(
        "mimamori_lag_records",
        "gauge",
        "records",
        "Records behind the end of the assigned partitions (transaction markers count as records).",
        "Growing: add workers, up to the number of partitions.",
    ),
    Metric(
        "mimamori_work_seconds",
        "gauge",
        "seconds",
        "Seconds that the model needs for what waits for this worker: the tokens fetched and not committed, "
        "and the lag times the tokens that each of the last offsets had (transaction markers and cached "
        "messages have none), at the rate of its last batches of 256 tokens or more; absent without one.",
        "Growing: add workers, up to the number of partitions. The sum of all workers', divided by the "
        "seconds that a message may wait, is the number of workers that it needs.",
    ),
    Metric(
        "mimamori_records_without_schema",
        "gauge",
        "records",
        "Records that were read and wait, since the schema registry has not answered yet.",
        "Above 0 for a minute: messages wait for the registry, and none is lost; see the worker's log, and "
        "mimamori_schema_requests_total.",
    ),
    Metric(
        "mimamori_kafka_refusals_total",
        "counter",
        "connections",
        "Connections on which Kafka, or TLS on the way to it, refused this worker, by reason.",
        "Any: the log says what to do (kafka_refuses). Connections that are open go on while they last.",
        ("reason",),
        values=get_args(Refusal),
    ),
    Metric(
        "mimamori_kafka_certificate_expiry_timestamp_seconds",
        "gauge",
        "seconds",
        "Seconds from 1970 until the certificate expires that this worker shows to Kafka; 0 without one.",
        "Days away: renew it in its secret; the worker takes it by itself.",
    ),
    Metric(
        "mimamori_engine_info",
        "info",
        "one",
        "What this worker runs, as labels, for each of its bundles; always 1.",
        "Not the device or the bundle that you deployed: see its settings, and `mimamori doctor`.",
        ("engine", "device", "precision", "bundle", "task", "reading"),
    ),
)

SHADOW_PREFIX: Final = "mimamori_shadow_"
_NOT_OF_A_SHADOW: Final = {"mimamori_review_cases_total", "mimamori_dead_letters_total"}
_OF_A_SHADOW_ALONE: Final = (
    Metric(
        "mimamori_passed_over_total",
        "counter",
        "records",
        "Records that a shadow did not screen, by reason: share (not drawn), rate (more than at_most a "
        "second), rejected (no message of its task, or the model fails on it). After an abort they are read, "
        "and counted, again.",
        "Mostly rate: what was screened is no fair sample of busy hours; lower the share instead.",
        ("reason",),
        values=get_args(PassedOver),
    ),
)


def catalogue(*, shadow: bool) -> tuple[Metric, ...]:
    """The metrics of a worker, or those of a shadow, which are exposed as SHADOW_PREFIX and what follows."""
    return (
        (*(metric for metric in CATALOGUE if metric.name not in _NOT_OF_A_SHADOW), *_OF_A_SHADOW_ALONE)
        if shadow
        else CATALOGUE
    )


def exposed_name(name: str, *, shadow: bool) -> str:
    """What Prometheus calls a metric. No query on workers can count shadows, since their names differ."""
    return SHADOW_PREFIX + name.removeprefix("mimamori_") if shadow else name
