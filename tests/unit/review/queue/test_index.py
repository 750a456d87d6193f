"""The index answers what a sort of all cases would: pages, places, counts and changes."""

from collections import Counter
from itertools import pairwise
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from review.cases.script import Script
from review.people import Person
from review.queue.answers import Place
from review.queue.index import QueueIndex, seen_state
from review.queue.order import Filter
from review.queue.urgency import Law, lane_of, shown_lane_of
from review.queue.waiting import Waiting
from tests.unit.review.queue.waiting_cases import ANA, AUDITOR, LEA, NOW, made, queues

FILTERS = st.builds(
    Filter,
    task=st.none() | st.just("stress"),
    kind=st.none() | st.sampled_from(["escalation", "quality_sample"]),
    level=st.none() | st.just("high"),
    state=st.none() | st.sampled_from(["waiting", "claimed", "second", "lead"]),
    overdue=st.none() | st.booleans(),
    conversation=st.none() | st.none() | st.just("c1"),
    mine=st.sampled_from([False, False, True]),
    script=st.none() | st.none() | st.sampled_from(["Latn", "Hani", "Jpan"]),
)
WHO = st.sampled_from([ANA, LEA, AUDITOR])
TIMES = st.sampled_from([NOW, NOW + 600, NOW + 86_400.0, NOW - 1e4])
LAW = Law()
FEW = settings(max_examples=25)  # drawing a queue takes longer than the test of it
ANYTHING = Filter()
# What somebody who asks for a script may be able to read.
SCRIPTS: dict[Script | None, tuple[Script, ...]] = {
    None: ("Latn", "Hani", "Jpan"),
    "Latn": ("Latn",),
    "Hani": ("Hani",),
    "Jpan": ("Jpan", "Hani"),
}


def index_of(entries: list[Waiting]) -> QueueIndex:
    index = QueueIndex(LAW)
    for entry in entries:
        index.put(entry)
    return index


def admitted(wanted: Filter, entry: Waiting, now: float, person: Person) -> bool:
    """The filter's meaning, written down once more."""
    sees_all = person.may("lead", "auditor")
    known = sees_all or not wanted.mine
    lane = lane_of(entry) if sees_all else shown_lane_of(entry)
    state = "waiting" if entry.state == "second" and not sees_all else entry.state
    return all(
        (
            not wanted.mine
            or person.id == (entry.holder or (entry.reserved.person if entry.reserved else None)),
            wanted.conversation in {None, entry.conversation},
            wanted.task in {None, entry.task},
            entry.script in {None, *SCRIPTS[wanted.script]},
            wanted.state == state or (wanted.state is None and (wanted.mine or entry.holder is None)),
            not known or wanted.kind in {None, lane.kind},
            not known or wanted.level in {None, lane.level},
            not known or wanted.overdue in {None, now - entry.since >= LAW.allowance(lane_of(entry))},
        )
    )


def in_order(entries: list[Waiting], wanted: Filter, now: float, person: Person) -> list[str]:
    chosen = [entry for entry in entries if admitted(wanted, entry, now, person)]
    chosen.sort(key=lambda entry: (-LAW.urgency(entry, now), entry.since, -entry.priority, entry.id))
    return [entry.id for entry in chosen]


def pages(index: QueueIndex, wanted: Filter, now: float, person: Person, limit: int) -> list[list[str]]:
    total = index.page(wanted, now, offset=0, limit=0, person=person).total
    return [
        [place.id for place in index.page(wanted, now, offset=start, limit=limit, person=person).places]
        for start in range(0, total, limit)
    ]


@FEW
@given(queues(), FILTERS, TIMES, WHO, st.integers(1, 7))
def test_pages_laid_side_by_side_are_the_sorted_queue(
    entries: list[Waiting], wanted: Filter, now: float, person: Person, limit: int
) -> None:
    found = pages(index_of(entries), wanted, now, person, limit)
    expected = in_order(entries, wanted, now, person)
    sorted_pages = [expected[start : start + limit] for start in range(0, len(expected), limit)]
    # On a page, cases of one conversation stand together, behind the most urgent of them.
    assert [sorted(page) for page in found] == [sorted(page) for page in sorted_pages]
    assert [page[0] for page in found] == [page[0] for page in sorted_pages]


def test_a_late_page_of_a_long_queue_is_found_without_walking_and_holds_the_same_cases() -> None:
    random = Random(7)  # noqa: S311 - a test that is the same each time
    entries = [
        made(
            number,
            level=random.choice(["low", "moderate", "high"]),
            since=NOW - random.choice([0.0, 1800.0, 86_400.0, random.uniform(0, 3e5)]),  # many ties
            uncertainty=random.random(),
            raised=random.random() < 0.2,
        )
        for number in range(5_000)
    ]
    index = index_of(entries)
    for wanted in (Filter(), Filter(overdue=True), Filter(overdue=False), Filter(level="low")):
        expected = in_order(entries, wanted, NOW, ANA)
        for offset in (0, 499, 501, 1700, 3333, len(expected) - 3, len(expected), len(expected) + 9):
            page = index.page(wanted, NOW, offset=offset, limit=10, person=ANA)
            assert [place.id for place in page.places] == expected[offset : offset + 10]
        for place in (0, 1, 700, len(expected) - 1):
            assert index.position(expected[place], wanted, NOW, ANA) == place


@FEW
@given(queues(), FILTERS, TIMES, WHO)
def test_counts_and_positions_are_those_of_the_sorted_queue(
    entries: list[Waiting], wanted: Filter, now: float, person: Person
) -> None:
    index = index_of(entries)
    expected = in_order(entries, wanted, now, person)
    counts = index.counts(wanted, now, person)
    assert counts.total == len(expected) == index.page(wanted, now, offset=0, limit=1, person=person).total
    chosen = [entry for entry in entries if entry.id in expected]
    assert counts.overdue == sum(LAW.overdue(entry, now) for entry in chosen)
    for part in (counts.by_task, counts.by_kind, counts.by_level, counts.by_state, counts.by_script):
        assert sum(part.values()) == len(expected)
    assert counts.by_state == Counter(seen_state(entry.state, person) for entry in chosen)
    for entry in entries:
        place = index.position(entry.id, wanted, now, person)
        assert place == (expected.index(entry.id) if entry.id in expected else None)


@FEW
@given(queues(), queues(), st.data())
def test_whatever_was_put_and_dropped_the_queue_is_that_of_what_is_left(
    before: list[Waiting], after: list[Waiting], data: st.DataObject
) -> None:
    index = index_of(before)
    left = {entry.id: entry for entry in before}
    for entry in after:
        if data.draw(st.booleans()):
            index.drop(entry.id)
            left.pop(entry.id, None)
        else:
            index.put(entry)
            left[entry.id] = entry
    assert len(index) == len(left)
    shown = index.page(Filter(), NOW, offset=0, limit=99, person=LEA).places
    fresh = index_of(list(left.values())).page(Filter(), NOW, offset=0, limit=99, person=LEA).places
    assert shown == fresh
    assert index.backlog(NOW) == index_of(list(left.values())).backlog(NOW)
    if data.draw(st.booleans()):
        index.clear()
        assert not index.changes_since(0, Filter(), NOW, LEA).complete
    for case_id in list(left):
        index.drop(case_id)
        index.drop(case_id)
    assert not list(index.classes())
    assert not index.backlog(NOW)
    assert not list(index.in_conversation("c1"))
    assert not list(index.in_hands_of("ana"))


@FEW
@given(queues(), queues(), FILTERS, WHO, st.data())
def test_a_page_that_stays_open_is_told_exactly_what_it_does_not_show(
    before: list[Waiting], after: list[Waiting], wanted: Filter, person: Person, data: st.DataObject
) -> None:
    index = index_of(before)
    shown = index.page(wanted, NOW, offset=0, limit=99, person=person)
    old = {place.id: index.get(place.id) for place in shown.places}
    for entry in after:
        if data.draw(st.booleans()):
            index.drop(entry.id)
        else:
            index.put(entry)
    changes = index.changes_since(shown.version, wanted, NOW, person)
    page = index.page(wanted, NOW, offset=0, limit=99, person=person)
    new = {place.id: index.get(place.id) for place in page.places}
    assert changes.version == page.version
    assert changes.complete
    assert set(changes.arrived) == new.keys() - old.keys()
    assert set(changes.left) == old.keys() - new.keys()
    assert {case_id for case_id in new.keys() & old.keys() if new[case_id] != old[case_id]} <= set(
        changes.altered
    )


def test_a_page_of_another_run_or_of_long_ago_is_told_to_load_anew() -> None:
    index = QueueIndex(LAW, first_version=1_000_000)
    assert not index.changes_since(17, Filter(), NOW, ANA).complete
    assert index.changes_since(1_000_000, Filter(), NOW, ANA).none
    for number in range(5_000):
        index.put(made(number))
    assert not index.changes_since(1_000_000, Filter(), NOW, ANA).complete
    assert not index.changes_since(2_000_000, Filter(), NOW, ANA).complete
    index.put(made(1))  # it is there already
    assert index.changes_since(1_005_000, Filter(), NOW, ANA).none


def test_a_case_that_arrives_stands_in_its_place_at_once() -> None:
    index = index_of([made(1, level="low"), made(2, level="moderate")])
    shown = index.page(Filter(), NOW, offset=0, limit=9, person=ANA).version
    index.put(made(3, level="high", since=NOW))
    assert [place.id[-1] for place in page_of(index)] == ["3", "2", "1"]
    index.put(made(2, level="moderate", raised=True))
    index.put(made(1, level="low", holder="ben"))
    changes = index.changes_since(shown, Filter(), NOW, ANA)
    assert (changes.arrived, changes.altered, changes.left) == ([made(3).id], [made(2).id], [made(1).id])


def test_an_overdue_case_moves_to_the_front_of_its_level_without_any_event() -> None:
    index = index_of(
        [made(1, since=NOW - 3600, uncertainty=0.0), made(2, since=NOW, uncertainty=1.0, raised=True)]
    )
    assert [place.id[-1] for place in page_of(index)] == ["2", "1"]
    later = NOW - 3600 + LAW.allowance(lane_of(made()))
    assert [(place.id[-1], place.overdue) for place in page_of(index, later)] == [("1", True), ("2", False)]


def test_a_page_groups_a_conversation_and_says_how_much_more_there_is() -> None:
    cases = [made(n, since=NOW - 100 + n, conversation="c" if n in {1, 3, 5} else None) for n in range(6)]
    page = index_of(cases).page(Filter(), NOW, offset=0, limit=5, person=ANA)
    assert [(place.id[-1], place.further) for place in page.places] == [
        ("0", 0), ("1", 2), ("3", 2), ("2", 0), ("4", 0),
    ]  # fmt: skip


def test_a_reviewer_cannot_tell_a_quality_sample_by_looking_at_lists() -> None:
    sample = made(1, kind="quality_sample", conversation="c", stands_as=("high", 1.0))
    index = index_of([sample, made(2, conversation="c"), made(3, level="high")])
    everything = {sample.id, made(2).id, made(3).id}
    for kind, found in ((None, everything), ("escalation", everything), ("quality_sample", set())):
        assert {place.id for place in page_of(index, wanted=Filter(kind=kind))} == found
        assert "quality_sample" not in index.counts(Filter(kind=kind), NOW, ANA).by_kind
    # It stands beside the severe case that it pretends to be, and counts in its conversation.
    assert {place.id[-1]: (place.level, place.due, place.further) for place in page_of(index)} == {
        "1": ("high", NOW - 1800, 1),
        "2": ("moderate", made(2).since + LAW.allowance(lane_of(made(2))), 1),
        "3": ("high", NOW - 1800, 0),
    }
    assert index.position(sample.id, Filter(), NOW, ANA) == 0
    index.put(structs.replace(sample, holder="ana"))
    index.put(made(3, holder="ana"))
    for kind in (None, "escalation", "quality_sample"):
        mine = page_of(index, wanted=Filter(kind=kind, mine=True))
        assert {place.id[-1]: (place.level, place.due, place.overdue) for place in mine} == {
            "1": (None, None, None),
            "3": (None, None, None),
        }
    samples = Filter(kind="quality_sample", state="claimed")
    assert [place.id[-1] for place in page_of(index, wanted=samples, person=LEA)] == ["1"]


def test_without_levels_a_list_says_nothing_that_the_model_has_found_nor_that_there_is_a_reader() -> None:
    index = index_of([made(1, level="high", raised=True, stage="second"), made(2, level="low")])
    shown = index.page(Filter(state="waiting"), NOW, offset=0, limit=9, person=ANA, levels=False).places
    assert [(place.level, place.due, place.overdue, place.raised, place.state) for place in shown] == [
        (None, None, None, None, "waiting")
    ] * 2
    assert shown[0].id == made(1).id  # what is hidden still counts in the order


def test_the_backlog_says_what_waits_at_each_level() -> None:
    index = index_of(
        [
            made(1, level="high"),
            made(2, level="high", since=NOW, holder="ana"),
            made(3, level="low", since=NOW - 9 * 86_400),
            made(4, kind="quality_sample"),
        ]
    )
    assert [
        (lane.level or lane.kind, lane.open, lane.claimed, lane.overdue, NOW - lane.oldest, lane.severe)
        for lane in index.backlog(NOW)
    ] == [
        ("high", 2, 1, 1, 3600.0, True),
        ("low", 1, 0, 1, 9 * 86_400.0, False),
        ("quality_sample", 1, 0, 0, 3600.0, False),
    ]


def test_the_order_is_total_and_does_not_depend_on_arrival() -> None:
    equal = [made(number) for number in range(20)]
    shuffled = equal.copy()
    shuffled.reverse()
    ids = [place.id for place in page_of(index_of(shuffled))]
    assert ids == [place.id for place in page_of(index_of(equal))]
    assert all(before < after for before, after in pairwise(ids))


def page_of(
    index: QueueIndex, now: float = NOW, wanted: Filter = ANYTHING, person: Person = ANA
) -> list[Place]:
    return index.page(wanted, now, offset=0, limit=99, person=person).places
