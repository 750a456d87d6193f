"""The catalogue of the desk's metrics, as `worker/telemetry/catalogue.py` is that of the workers'."""

from typing import Final, get_args

from review.cases.held import HeldBecause
from schemas.metrics import Metric
from schemas.vocabulary import Finding
from tracing.spans import SpanOutcome

CONFIRM_BUCKETS: Final = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)

CATALOGUE: Final = (
    Metric(
        "mimamori_review_ready",
        "gauge",
        "one",
        "1 once the table is recovered and partitions are held; 0 while Kafka is gone or refuses it.",
        "0 for long: /readyz says how many partitions are held; then the desk's log, and the brokers.",
    ),
    Metric(
        "mimamori_review_events_total",
        "counter",
        "events",
        "Events consumed, by kind and what they did.",
        "Any `unreadable`: the log has the place.",
        ("kind", "outcome"),
    ),
    Metric(
        "mimamori_review_held_events_total",
        "counter",
        "events",
        "Events that were not believed and changed nothing, by why.",
        "Any: another program writes to the topics, or a desk's public key is not among the trusted ones.",
        ("because",),
        values=get_args(HeldBecause),
    ),
    Metric(
        "mimamori_review_not_audited_total",
        "counter",
        "events",
        "What was not done because Kafka did not confirm its record in the audit log in time.",
        "Any: the desk shows no text meanwhile. See the brokers, and the desk's right to write there.",
    ),
    Metric(
        "mimamori_review_told_to_forget_total",
        "counter",
        "records",
        "Records that tell the broker to forget a case, or sweep a partition so that it does.",
        "Flat for days while cases are decided: nothing is forgotten; see the desk's log.",
        ("what",),
        values=("case", "sweep"),
    ),
    Metric(
        "mimamori_review_decisions_total",
        "counter",
        "decisions",
        "Decisions taken at this desk, by finding, or `refused` where it could not be taken.",
        "Many `refused`: the log and the brokers.",
        ("finding",),
        values=(*get_args(Finding), "refused"),
    ),
    Metric(
        "mimamori_review_confirm_seconds",
        "histogram",
        "seconds",
        "Seconds from a reviewer's click to the decision standing in the table.",
        "Slow: look at the brokers.",
        (),
        CONFIRM_BUCKETS,
    ),
    Metric(
        "mimamori_review_webhooks_total",
        "counter",
        "webhooks",
        "Webhooks by type: told, failed (will be tried again), given_up.",
        "Any given up: see the receiver.",
        ("type", "outcome"),
    ),
    Metric(
        "mimamori_review_webhooks_waiting",
        "gauge",
        "webhooks",
        "Webhooks that were not taken yet.",
        "Growing: the receiver is down or too slow.",
    ),
    Metric(
        "mimamori_review_spans_total",
        "counter",
        "spans",
        "Spans by what became of them: sent, not_taken (by the collector), queue_full (they came faster than "
        "they could be sent), over_limit (more than 100 sampled cases a second). All 0 without "
        "MIMAMORI_REVIEW_TRACES_ENDPOINT.",
        "not_taken, queue_full: see to the collector; the desk does not wait for it.",
        ("outcome",),
        values=get_args(SpanOutcome),
    ),
    Metric(
        "mimamori_review_sign_ins_total",
        "counter",
        "sign-ins",
        "Tries to sign in, by outcome.",
        "Many `refused` or `provider_down`: the log says why.",
        ("outcome",),
        values=("signed_in", "refused", "provider_down"),
    ),
    Metric(
        "mimamori_review_refused_requests_total",
        "counter",
        "requests",
        "Requests refused before the desk saw them, by HTTP status.",
        "Many 429: somebody tries much.",
        ("status",),
    ),
    Metric(
        "mimamori_review_open_cases",
        "gauge",
        "cases",
        "Cases waiting for a person.",
        "Growing: more reviewers, or a higher threshold, which the safety lead decides.",
        ("task", "kind"),
    ),
    Metric(
        "mimamori_review_oldest_case_age_seconds",
        "gauge",
        "seconds",
        "Seconds since the message of the oldest open case was sent, 0 without one.",
        "Older than the longest deadline: nobody works the end of the queue.",
    ),
    Metric(
        "mimamori_review_backlog_cases",
        "gauge",
        "cases",
        "Open cases by level, or by kind where there is no level.",
        "Growing in a severe level: call more reviewers.",
        ("task", "level"),
    ),
    Metric(
        "mimamori_review_overdue_cases",
        "gauge",
        "cases",
        "Open cases past the deadline of their level, or of their kind where there is no level.",
        "Any severe one: somebody has to look now.",
        ("task", "level"),
    ),
    Metric(
        "mimamori_review_delayed_cases",
        "gauge",
        "cases",
        "Cases that will be late within the forecast, at the present pace.",
        "Rising: call more reviewers.",
        ("task", "level"),
    ),
    Metric(
        "mimamori_review_delay_hours",
        "gauge",
        "hours",
        "How many hours people will wait beyond their deadlines within the forecast, in sum.",
        "Rising: call more reviewers.",
    ),
    Metric(
        "mimamori_review_pressure",
        "gauge",
        "ratio",
        "What is due against what can be decided by then.",
        "Above 1, deadlines are missed; +Inf: something waits, and nobody is at work.",
    ),
    Metric(
        "mimamori_review_reviewers_at_work",
        "gauge",
        "people",
        "Reviewers who took a step on a case lately.",
        "0 while cases wait: nobody is at the desk.",
    ),
    Metric(
        "mimamori_review_kafka_certificate_expiry_timestamp_seconds",
        "gauge",
        "seconds",
        "Seconds from 1970 until the certificate expires that this desk shows to Kafka; 0 without one.",
        "Days away: renew it in its secret; the desk takes it by itself.",
    ),
    Metric(
        "mimamori_review_quality_share",
        "gauge",
        "ratio",
        "Share of claims that get a quality sample now; lower, within its bounds, under pressure.",
        "At its lower bound for days: the miss rate is measured on fewer samples; call more reviewers.",
    ),
)
