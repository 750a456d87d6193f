"""The note beside a committed offset."""

import pytest

from worker.kafka import offset_note
from worker.kafka.offset_note import LARGEST_BYTES, OffsetNote


def test_what_is_written_is_read_again() -> None:
    note = OffsetNote("9fIXJ0ymT--T3k1OIVmaUg")
    assert offset_note.read(offset_note.write(note)) == note


@pytest.mark.parametrize("metadata", [None, "", "my own note", "{", "[1]", '"é"', '{"topic_id": 7}', "null"])
def test_what_no_worker_wrote_says_nothing(metadata: str | None) -> None:
    """Older workers left it empty, and people commit offsets by hand."""
    assert offset_note.read(metadata) == OffsetNote()


def test_a_later_workers_note_is_still_readable() -> None:
    """Of both versions some run at once while a release is rolled out."""
    assert offset_note.read('{"v":2,"topic_id":"a","in_hand":[1,2]}').topic_id == "a"


def test_a_note_that_brokers_would_refuse_is_refused_here() -> None:
    with pytest.raises(ValueError, match=str(LARGEST_BYTES)):
        offset_note.write(OffsetNote("x" * LARGEST_BYTES))
