"""What deaths say of records: one proves nothing, two together make suspects, two alone condemn."""

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from worker.kafka.record import Record
from worker.stream.suspicion import Accused, Held, Note, Suspect


def record(offset: int, timestamp_ms: int = 7) -> Record:
    return Record("messages", 0, offset, None, b"", timestamp_ms)


def died(note: Note, first: int, last: int) -> Note:
    return replace(note, held=Held(first, last)).inherited()


def died_alone(note: Note, offset: int, timestamp_ms: int = 7) -> Note:
    return replace(note, held=Held(offset, offset, alone=True, timestamp_ms=timestamp_ms)).inherited()


def suspects(note: Note) -> list[int]:
    return [offset for offset in range(30) if note.is_suspect(record(offset))]


def condemned(note: Note) -> list[int]:
    return [offset for offset in range(30) if note.is_condemned(record(offset))]


def test_what_was_given_back_is_no_death() -> None:
    note = Note(suspects=(Suspect(3, 4, 1),), accused=(Accused(9, 7, 1),))
    assert note.inherited() == note


def test_one_death_changes_nothing_two_on_the_same_records_have_them_read_alone() -> None:
    once = died(Note(), 10, 14)
    assert suspects(once) == []
    assert suspects(died(once, 10, 14)) == [10, 11, 12, 13, 14]
    assert condemned(died(once, 10, 14)) == []


def test_a_batch_that_has_grown_holds_the_same_records() -> None:
    assert suspects(died(died(Note(), 10, 12), 11, 15)) == [11, 12, 13, 14, 15]


def test_deaths_on_other_records_are_counted_apart() -> None:
    note = died(died(Note(), 10, 12), 13, 15)
    assert suspects(note) == []
    assert suspects(died(note, 13, 15)) == [13, 14, 15]


def test_a_single_record_that_was_not_alone_is_not_accused() -> None:
    note = died(died(died(Note(), 5, 5), 5, 5), 5, 5)
    assert condemned(note) == []


def test_the_second_death_alone_condemns_and_the_first_has_it_read_alone() -> None:
    once = died_alone(Note(), 4)
    assert (suspects(once), condemned(once)) == ([4], [])
    assert condemned(died_alone(once, 4)) == [4]


def test_deaths_alone_on_two_records_condemn_neither() -> None:
    assert condemned(died_alone(died_alone(Note(), 4), 5)) == []


def test_a_verdict_stands_while_others_are_read() -> None:
    note = died_alone(died_alone(Note(), 4), 4)
    assert condemned(died(died_alone(note, 9), 10, 20)) == [4]


def test_a_topic_made_anew_begins_without_guilt() -> None:
    note = died_alone(died_alone(Note(), 4), 4)
    assert not note.is_condemned(record(4, timestamp_ms=8))
    assert not note.is_suspect(record(4, timestamp_ms=8))
    assert condemned(died_alone(note, 4, timestamp_ms=8)) == []


deaths = st.lists(st.tuples(st.integers(0, 29), st.integers(0, 5)), max_size=60)


@given(deaths)
def test_nobody_is_condemned_who_was_not_alone_in_hand_at_two_deaths(struck: list[tuple[int, int]]) -> None:
    note = Note()
    alone: list[int] = []
    for first, more in struck:
        if more:
            note = died(note, first, first + more)
        else:
            note = died_alone(note, first)
            alone.append(first)
    assert condemned(note) == sorted({offset for offset in alone if alone.count(offset) >= 2})


@given(st.integers(40, 200))
def test_a_note_does_not_grow_for_ever(number: int) -> None:
    note = Note()
    for offset in range(number):
        note = died_alone(died(note, 10 * offset, 10 * offset + 5), 10 * offset + 7)
    assert len(note.suspects) == len(note.accused) == 32
    assert note.suspects[-1].first == 10 * (number - 1)
