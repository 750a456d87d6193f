"""Labels framed for a schema registry, on a real Apache Kafka, read by Confluent's own deserializers.

`make test-registry` runs it on Apicurio.
"""

import json
from collections import Counter
from operator import attrgetter, itemgetter
from typing import Any

import pytest
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer
from confluent_kafka.schema_registry.json_schema import JSONDeserializer
from confluent_kafka.serialization import MessageField, SerializationContext

from schemas.events import DeadLetter, Label, ReviewCase
from schemas.frozen import FrameFormat, frozen_schema
from schemas.kinds import KIND_OF
from tests.integration.test_shadow_kafka import SENT, Platform, platform, registry
from worker.kafka.span import Asked, SpanReader
from worker.registry.framing import schema_id_of

__all__ = ["platform", "registry"]  # fixtures


def values_of(platform: Platform) -> list[bytes]:
    with SpanReader(platform.config, Asked(platform.names[Label])) as reader:
        return [record.value or b"" for record in reader.records()]


@pytest.mark.parametrize("form", ["avro", "json"])
def test_confluents_deserializers_read_every_label_of_a_registry(
    platform: Platform, form: FrameFormat
) -> None:
    access = platform.register(form)
    worker = platform.start(label_format=form, **access)
    platform.until(Label, SENT)
    worker.stop()
    assert worker.error is None
    values = values_of(platform)
    assert len({schema_id_of(value) for value in values}) == 1
    with SchemaRegistryClient({"url": access["schema_registry_url"]}) as client:
        read: Any = AvroDeserializer(client)  # with the schema that it was written with
        if form == "json":
            read = JSONDeserializer(
                json.dumps(frozen_schema(KIND_OF[Label], form)), schema_registry_client=client
            )
        place = SerializationContext(platform.names[Label], MessageField.VALUE)
        theirs = [read(value, place) for value in values]
    ours = platform.read(Label)
    assert len({label.origin for label in ours}) == SENT
    assert {each["message_id"] for each in theirs} == {f"m{n}" for n in range(SENT)}
    theirs.sort(key=itemgetter("id"))  # two reads may find the partitions in another order
    for label, their in zip(sorted(ours, key=attrgetter("id")), theirs, strict=True):
        assert (their["id"], their["verdict"], their["risk"]) == (label.id, label.verdict, label.risk)
        assert their["origin"]["offset"] == label.origin.offset
        assert their["thresholds"]["calibration"] == "old"
        shares = None if label.severity is None else label.severity.scores
        assert (their["severity"] or {}).get("scores") == shares
        at = their["screened_at"]
        assert (
            at == label.screened_at if form == "avro" else at.startswith(label.screened_at.isoformat()[:19])
        )
    assert platform.read(DeadLetter) == []
    assert platform.read(ReviewCase)  # plain JSON, as the desk reads them


def test_a_worker_that_writes_another_form_goes_on_where_the_last_one_was(platform: Platform) -> None:
    """On, and off again: each message has one label, and one reader reads all."""
    access = platform.register("avro")
    for step, form in enumerate(("plain", "avro", "plain"), start=1):
        worker = platform.start(label_format=form, **access)
        platform.until(Label, SENT * step)
        worker.stop()
        assert worker.error is None
        platform.send(range(SENT * step, SENT * (step + 1)))
    labels = platform.read(Label)
    assert len({label.message_id for label in labels}) == len(labels) == 3 * SENT
    assert Counter(value[:1] for value in values_of(platform)) == {b"{": 2 * SENT, b"\x00": SENT}
