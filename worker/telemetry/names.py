"""The metrics' names, by the labels they have, so that a misspelt name, label or value is a type error."""

from typing import Literal

PlainCounter = Literal[
    "mimamori_records_total",
    "mimamori_unreadable_headers_total",
    "mimamori_deleted_unread_records_total",
    "mimamori_deaths_in_hand_total",
    "mimamori_lost_highlights_total",
    "mimamori_cache_errors_total",
    "mimamori_aborts_total",
    "mimamori_voided_batches_total",
    "mimamori_rejoins_total",
    "mimamori_fetch_restarts_total",
]
LabelsCounter = Literal["mimamori_labels_total"]
BundlesCounter = Literal["mimamori_labels_by_bundle_total"]
DepthsCounter = Literal["mimamori_labels_by_depth_total"]
CasesCounter = Literal["mimamori_review_cases_total"]
DeadLettersCounter = Literal["mimamori_dead_letters_total"]
ResetsCounter = Literal["mimamori_position_resets_total"]
LookupsCounter = Literal["mimamori_cache_lookups_total"]
DoubtsCounter = Literal["mimamori_doubts_total"]
SchemasCounter = Literal["mimamori_schema_requests_total"]
SpansCounter = Literal["mimamori_spans_total"]
PassedOverCounter = Literal["mimamori_passed_over_total"]
RefusalsCounter = Literal["mimamori_kafka_refusals_total"]
CounterName = (
    PlainCounter
    | LabelsCounter
    | BundlesCounter
    | DepthsCounter
    | CasesCounter
    | DeadLettersCounter
    | ResetsCounter
    | LookupsCounter
    | DoubtsCounter
    | PassedOverCounter
    | RefusalsCounter
    | SpansCounter
    | SchemasCounter
)
GaugeName = Literal[
    "mimamori_in_flight_batches",
    "mimamori_assigned_partitions",
    "mimamori_lag_records",
    "mimamori_records_without_schema",
    "mimamori_kafka_certificate_expiry_timestamp_seconds",
    "mimamori_partitions_without_reader",
]
LateGaugeName = Literal["mimamori_work_seconds"]  # not exposed before it is known
DriftGauge = Literal["mimamori_drift_psi"]
# histograms without labels
SpreadName = Literal[
    "mimamori_batch_records", "mimamori_latency_seconds", "mimamori_risk", "mimamori_message_characters"
]
StationHistogram = Literal["mimamori_station_seconds"]
EngineInfo = Literal["mimamori_engine_info"]
MetricName = CounterName | GaugeName | LateGaugeName | DriftGauge | SpreadName | StationHistogram | EngineInfo
