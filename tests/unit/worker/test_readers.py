"""When a partition counts as one without a reader, and whose turn it is then."""

from collections.abc import Mapping
from itertools import pairwise

from worker.kafka.fetch_watch import FetchWatch
from worker.kafka.readers import GroupView, Readers
from worker.kafka.record import Partition

WHOLE: dict[str, set[int]] = {"a": {0, 1}, "b": {2, 3}}
HOLE: dict[str, set[int]] = {"a": {0, 1}, "b": set(), "c": set()}


def view(members: Mapping[str, set[int]], *, stable: bool = True) -> GroupView:
    return GroupView(stable, members)


def turns(me: str, *views: GroupView) -> list[bool]:
    readers = Readers()
    return [readers.look(each, 4, me) for each in views]


def test_a_partition_that_nobody_reads_twice_in_a_row_has_no_reader() -> None:
    readers = Readers()
    seen = []
    for members in (WHOLE, HOLE, HOLE, WHOLE, HOLE):
        readers.look(view(members), 4, "a")
        seen.append(list(readers.missing))
    assert seen == [[], [], [2, 3], [], []]


def test_a_rebalance_proves_nothing() -> None:
    """Counting begins anew after it; what was known before stays known until the group is stable."""
    readers = Readers()
    rebalancing = view({"a": set(), "b": set()}, stable=False)
    assert not any(readers.look(each, 4, "b") for each in (view(HOLE), rebalancing, rebalancing, view(HOLE)))
    assert readers.missing == []
    assert readers.look(view(HOLE), 4, "b")
    assert readers.missing == [2, 3]
    readers.look(rebalancing, 4, "b")
    assert readers.missing == [2, 3]
    readers.look(view(WHOLE), 4, "b")
    assert readers.missing == []


def test_members_take_turns_and_who_reads_the_fewest_goes_first() -> None:
    holes = [view(HOLE)] * 4
    assert turns("b", *holes)[:2] == [False, True]
    assert turns("c", *holes)[:3] == [False, False, True]
    assert turns("a", *holes) == [False, False, False, True]


def test_no_turn_without_a_hole_and_none_for_a_stranger() -> None:
    assert not any(turns("a", *[view(WHOLE)] * 9))
    assert not any(turns("evicted", *[view(HOLE)] * 9))


def test_turns_that_do_not_help_come_more_and_more_seldom() -> None:
    took = [at for at, turn in enumerate(turns("b", *[view(HOLE)] * 60), start=1) if turn]
    assert [later - at for at, later in pairwise(took)] == [12, 24], "of three members"
    readers = Readers()
    assert [readers.look(view(HOLE), 4, "b") for _ in range(2)][-1]
    readers.look(view(WHOLE), 4, "b")
    assert [readers.look(view(HOLE), 4, "b") for _ in range(2)][-1], "it helped: the next one is a new hole"


def fetched(*looks: tuple[int, int], idle: bool = True) -> list[bool]:
    """Whether a partition is found stopped, by the end that Kafka tells and the one that the client knows."""
    watch, place = FetchWatch(), ("t", 0)
    return [bool(watch.look({place: end}, {place: known}, idle=idle)) for end, known in looks]


def test_a_partition_is_not_fetched_where_the_client_has_not_heard_of_an_end_a_look_later() -> None:
    assert fetched((10, 5), (10, 5), (10, 5), (10, 5)) == [False, False, True, False]
    assert fetched((10, -1001), (10, -1001), (10, -1001)) == [False, False, True], "it was never fetched"
    assert fetched((10, 5), (20, 10), (30, 20), (40, 30)) == [False] * 4, "it grows, and is fetched"
    assert fetched((10, 5), (10, 5), (10, 10), (10, 10)) == [False] * 4, "it only was slow"
    assert fetched((0, -1001), (0, -1001), (0, -1001)) == [False] * 3, "it is empty"


def test_a_client_that_was_busy_or_paused_may_know_less() -> None:
    assert fetched(*[(10, 5)] * 5, idle=False) == [False] * 5


def test_partitions_that_were_taken_away_or_whose_end_is_unknown_are_not_judged() -> None:
    watch = FetchWatch()
    mine: Partition = ("t", 0)
    other: Partition = ("t", 1)
    assert watch.look({mine: 9, other: 9}, {mine: 1, other: 1}, idle=True) == []
    assert watch.look({mine: 9}, {mine: 1}, idle=True) == []
    assert watch.look({mine: 9, other: 9}, {mine: 1, other: 1}, idle=True) == [mine]
