"""Offsets that producers made up, held against the end of the partition."""

from worker.kafka.places import FAULT, Places
from worker.kafka.record import Record

PLACE = ("messages", 0)


def test_after_the_client_was_sent_somewhere_a_made_up_offset_is_put_there() -> None:
    """What is committed is older by then: to ask for it again would answer the same record twice."""
    places = Places(end_of=lambda _: 3, start_of=lambda _: 1)
    (first,), again = places.check([Record("messages", 0, 7, None, b"{}")])
    assert (first.offset, first.fault, again) == (1, FAULT, {PLACE: 2})
    places.expect(PLACE, 2)
    (second,), again = places.check([Record("messages", 0, 7, None, b"{}")])
    assert (second.offset, again) == (2, {PLACE: 3})
    places.expect(PLACE, -2)  # the beginning, wherever that is
    assert places.next_of(PLACE) is None
