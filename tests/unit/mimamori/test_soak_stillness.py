"""How long a partition stood still for a fault."""

from mimamori.soak.stillness import Stillness


def test_nothing_is_measured_before_a_fault_strikes() -> None:
    still = Stillness(1, 0.0)
    still.note(50.0, [1], [9])
    assert still.settled(50.0, over=True) is None


def test_the_longest_partition_counts_from_the_strike_to_its_next_outcome() -> None:
    still = Stillness(2, 0.0)
    still.note(10.0, [5, 5], [90, 90])
    still.struck(11.0)
    still.note(12.0, [6, 5], [90, 90])
    assert still.settled(12.0, over=True) is None  # the second has not moved since
    still.note(18.5, [6, 6], [90, 90])
    assert still.settled(18.5, over=True) is None  # nor the first since the fault was over
    still.note(19.0, [7, 7], [90, 90])
    assert still.settled(19.0, over=True) == 7.5


def test_a_fault_counts_until_it_is_over() -> None:
    still = Stillness(1, 0.0)
    still.struck(1.0)
    still.note(2.0, [1], [9])
    assert still.settled(2.0, over=False) is None
    still.note(6.0, [2], [9])
    assert still.settled(6.0, over=True) is None  # it has moved before that, and not since
    still.note(6.1, [3], [9])
    assert still.settled(6.1, over=True) == 4.0


def test_where_no_message_waits_nothing_stands_still() -> None:
    still = Stillness(2, 0.0)
    still.struck(1.0)
    still.note(1.1, [3, 1], [3, 9])
    still.note(30.0, [3, 2], [3, 9])
    assert still.settled(30.0, over=True) is None
    still.note(30.5, [3, 3], [3, 9])
    found = still.settled(30.5, over=True)
    assert found is not None
    assert round(found, 1) == 28.9  # the second partition; the first had no message


def test_each_fault_is_measured_by_itself() -> None:
    still = Stillness(1, 0.0)
    for start, stood in ((10.0, 3.0), (20.0, 1.0)):
        still.note(start, [int(start)], [99])
        still.struck(start)
        still.note(start + stood, [int(start) + 1], [99])
        still.settled(start + stood, over=True)
        still.note(start + stood + 0.5, [int(start) + 2], [99])
        assert still.settled(start + stood + 0.5, over=True) == stood


def test_the_partition_that_stands_longest_is_known_at_any_time() -> None:
    still = Stillness(2, 0.0)
    still.note(4.0, [1, 0], [9, 9])
    assert still.longest_s(6.0) == 6.0
    still.note(7.0, [1, 1], [9, 9])
    assert still.longest_s(9.0) == 5.0
