"""The desk's consumer reads every batch that Kafka takes, whatever the names of its headers are."""

import gzip

import pytest
from aiokafka.record.memory_records import MemoryRecords  # type: ignore[import-untyped]  # ships no types

from review.kafka.tolerant import TolerantBatch, TolerantRecords
from tests.fakes.raw_kafka import GZIP, RawRecord, batch_bytes, batch_of, record_bytes

BROKEN = RawRecord(b"2", b"k", [(b"\xff\xfe", b"x"), (b"a", None)])
RECORDS = [RawRecord(b"1"), BROKEN, RawRecord(None)]
PAYLOAD = b"".join(record_bytes(record, place) for place, record in enumerate(RECORDS))


@pytest.mark.parametrize("compressed", [False, True])
def test_a_header_name_that_is_not_utf8_costs_no_record(compressed: bool) -> None:  # noqa: FBT001 - a parameter
    payload = gzip.compress(PAYLOAD) if compressed else PAYLOAD
    broken = batch_bytes(payload, 3, attributes=GZIP if compressed else 0)
    content = batch_of([RawRecord(b"0")]) + broken + batch_of([RawRecord(b"4")])
    aiokafka = MemoryRecords(content)
    aiokafka.next_batch()
    with pytest.raises(UnicodeDecodeError):
        list(aiokafka.next_batch())
    records = TolerantRecords(content)
    batches = []
    while records.has_next():
        batches.append(records.next_batch())
    assert [isinstance(batch, TolerantBatch) for batch in batches] == [False, True, False]
    assert [[record.value for record in batch] for batch in batches] == [[b"0"], [b"1", b"2", None], [b"4"]]
    assert batches[1].next_offset == 3


def test_what_the_name_has_become_is_text() -> None:
    _, found, _ = TolerantRecords(batch_bytes(PAYLOAD, 3)).next_batch()
    assert (found.key, found.headers) == (b"k", [("\ufffd\ufffd", b"x"), ("a", None)])
