"""Under which membership a partition is committed, and where reading a new one begins."""

import pytest

from worker.errors import RetryableError
from worker.kafka.fresh import Fresh
from worker.kafka.membership import Held, KafkaMembership
from worker.kafka.offset_note import OffsetNote
from worker.kafka.record import Partition, Record

FIRST: Partition = ("messages", 0)
SECOND: Partition = ("messages", 1)
OLD, NEW = b"epoch 5", b"epoch 7"


def membership(held: Held, now: bytes = NEW) -> KafkaMembership:
    return KafkaMembership(now, OffsetNote(), held.now(), held)


def test_each_partition_is_committed_under_what_it_was_confirmed_under() -> None:
    held = Held()
    held.take([FIRST], OLD)
    held.take([SECOND], NEW)
    assert membership(held).groups([FIRST, SECOND]) == {OLD: [FIRST], NEW: [SECOND]}
    with pytest.raises(RetryableError, match="not confirmed"):
        membership(held).groups([FIRST, ("messages", 2)])


def test_what_proved_good_under_an_older_membership_comes_under_the_newer_one_with_the_others() -> None:
    held = Held()
    held.take([FIRST], OLD)
    held.take([SECOND], NEW)
    membership(held).proved([FIRST, SECOND])
    assert membership(held).groups([FIRST, SECOND]) == {NEW: [FIRST, SECOND]}


def test_a_partition_that_left_meanwhile_or_came_back_is_not_proved() -> None:
    held = Held()
    held.take([FIRST, SECOND], OLD)
    before = membership(held)
    held.drop([FIRST])
    held.drop([SECOND])
    held.take([SECOND], b"epoch 9")
    before.proved([FIRST, SECOND])
    assert held.now() == {SECOND: b"epoch 9"}


def test_in_the_classic_protocol_there_is_one_membership() -> None:
    one = KafkaMembership(NEW, OffsetNote())
    assert one.groups([FIRST, SECOND]) == {NEW: [FIRST, SECOND]}
    one.proved([FIRST, SECOND])


def records(place: Partition, *offsets: int) -> list[Record]:
    return [Record(*place, offset, None, b"") for offset in offsets]


def test_a_client_that_forgot_where_to_begin_is_told_once_more() -> None:
    fresh = Fresh()
    fresh.begin(FIRST, 5)
    assert fresh.early(records(FIRST, 0, 1)) == {FIRST}
    fresh.begin(FIRST, 5)
    assert fresh.early(records(FIRST, 3)) == set(), "a made-up offset, as often as it comes"
    fresh.begin(FIRST, 5)
    assert fresh.early(records(FIRST, 7, 8)) == set()
    assert fresh.early(records(FIRST, 2)) == set(), "it has begun"
    fresh.begin(FIRST, 5)
    fresh.forget([FIRST])
    assert fresh.early(records(FIRST, 0)) == set()


def test_polls_in_between_do_not_let_a_made_up_offset_count_again() -> None:
    fresh = Fresh()
    fresh.begin(FIRST, 5)
    fresh.begin(SECOND, 5)  # of which nothing comes
    assert fresh.early(records(FIRST, 3)) == {FIRST}
    fresh.forget([FIRST])
    fresh.begin(FIRST, 5)
    assert fresh.early([]) == set()
    assert fresh.early(records(FIRST, 3)) == set()


def test_a_partition_that_comes_back_may_be_told_once_more_again() -> None:
    fresh = Fresh()
    fresh.begin(FIRST, 5)
    assert fresh.early(records(FIRST, 0)) == {FIRST}
    fresh.leave([FIRST])
    fresh.begin(FIRST, 5)
    assert fresh.early(records(FIRST, 0)) == {FIRST}
