"""The contract between Mimamori and everyone else: events, topics, and how both may change.

    events.py  vocabulary.py         what an event says, and in which words
    kinds.py  ids.py                 how it is named, versioned and numbered
    codec.py  avro.py  headers.py    how events travel on Kafka
    signature.py                     which of them the review desk wrote
    topics.py  topics/               where they travel
    json/  avro/  examples/  asyncapi.yaml  the same for people who never read this code
    history/  evolution.py  avro_evolution.py  what was promised before, and the check that it still holds
    frozen.py                        what of it a schema registry gets

This package knows nothing of Kafka clients, models or settings, and imports nothing else of Mimamori.
"""

from schemas.codec import CodecError, InvalidJson, InvalidUtf8, SchemaMismatch, convert, decode, encode
from schemas.events import (
    DeadLetter,
    Event,
    Label,
    Message,
    Origin,
    ReviewCase,
    ReviewDecision,
    Severity,
    ShadowLabel,
    Thresholds,
)
from schemas.headers import Trace, event_headers, find_trace, is_sampled, names_a_trace, trace_headers
from schemas.ids import (
    case_event_id,
    case_id,
    dead_letter_id,
    decision_id,
    label_id,
    origin_of_case,
    shadow_label_id,
)
from schemas.topics import TopicDefinition, load_topics, topic_names

__all__ = [
    "CodecError",
    "DeadLetter",
    "Event",
    "InvalidJson",
    "InvalidUtf8",
    "Label",
    "Message",
    "Origin",
    "ReviewCase",
    "ReviewDecision",
    "SchemaMismatch",
    "Severity",
    "ShadowLabel",
    "Thresholds",
    "TopicDefinition",
    "Trace",
    "case_event_id",
    "case_id",
    "convert",
    "dead_letter_id",
    "decision_id",
    "decode",
    "encode",
    "event_headers",
    "find_trace",
    "is_sampled",
    "label_id",
    "load_topics",
    "names_a_trace",
    "origin_of_case",
    "shadow_label_id",
    "topic_names",
    "trace_headers",
]
