"""Offsets that producers made up, held against the end of the partition."""

from worker.kafka.places import FAULT, Places
from worker.kafka.record import Record

PLACE = ("messages", 0)


def test_after_the_client_was_sent_somewhere_a_made_up_offset_is_put_there() -> None:
    """What is committed is older by then: to ask for it again would answer the same record twice."""
    places = Places(end_of=lambda _: 3, end_now=lambda _: 3, start_of=lambda _: 1)
    (first,), again = places.check([Record("messages", 0, 7, None, b"{}")])
    assert (first.offset, first.fault, again) == (1, FAULT, {PLACE: 2})
    places.expect(PLACE, 2)
    (second,), again = places.check([Record("messages", 0, 7, None, b"{}")])
    assert (second.offset, again) == (2, {PLACE: 3})
    places.expect(PLACE, -2)  # the beginning, wherever that is
    assert places.next_of(PLACE) is None


def test_a_record_that_came_with_an_older_end_is_what_it_is() -> None:
    """Seen on Kafka 4.3, once in 60,000 records: the broker noted the end, and then read one record more."""
    asked: list[object] = []

    def end_now(place: object) -> int:
        asked.append(place)
        return 9

    places = Places(end_of=lambda _: 5, end_now=end_now, start_of=lambda _: 1)
    records = [Record("messages", 0, offset, None, b"{}") for offset in (4, 5, 6)]
    assert places.check(records) == (records, {})
    assert asked == [PLACE]  # once for all of them
    kept, again = places.check([Record("messages", 0, 9, None, b"{}")])
    assert ([record.fault for record in kept], again) == ([FAULT], {PLACE: 8})
