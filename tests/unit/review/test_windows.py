"""Repeated cases of one author or conversation: counted once, in whatever order, and named as the reason."""

import asyncio
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from review.cases.entries import Subject
from review.cases.keys import case_key
from review.cases.state import CaseState
from review.cases.windows import MAX_SEEN, Sighting, fullest, see, sightings
from review.queue.order import Filter
from review.web.pages.house import house
from review.web.pages.language import Language, words
from review.web.pages.shown import Shower
from schemas.events import ReviewCase
from tests.fakes.memory_desk import START, MemoryDesk, person
from tests.fakes.review_cases import a_case

LEAD = person("lena", "lead")


def sent(number: int, hours_ago: float, author: str | None = "vera", **fields: Any) -> ReviewCase:
    at = START - timedelta(hours=hours_ago)
    return a_case(number, author_id=author, sent_at=at, opened_at=START, **fields)


def arrived(*cases: ReviewCase) -> MemoryDesk:
    memory = MemoryDesk()
    asyncio.run(memory.open(*cases))
    return memory


def repeats(memory: MemoryDesk, case: ReviewCase) -> dict[str, int]:
    state = memory.table.get(case_key(case.id))
    assert isinstance(state, CaseState)
    return state.repeats


def test_three_cases_of_an_author_within_24_hours_raise_all_three_and_say_why() -> None:
    cases = [sent(1, 23), sent(2, 5), sent(3, 0)]
    memory = arrived(*cases)
    assert [repeats(memory, case) for case in cases] == [{"author": 3}] * 3
    view = memory.desk.find(cases[0].id, LEAD)
    assert (view.raised, view.repeats) == (["author"], {"author": 3})
    assert [(step.action, step.actor, step.reason) for step in view.history] == [
        ("raised", "desk", "author:3")
    ]


@pytest.mark.parametrize("language", ["en", "ja"])
def test_the_page_says_how_many_there_were(language: Language) -> None:
    cases = [sent(number, 0, conversation_id="room") for number in (1, 2, 3, 4)]
    view = arrived(*cases).desk.find(cases[3].id, LEAD)
    said = Shower(words(language), house(None), lambda who: who, START).raised(view)
    assert len(said) == 2
    assert all("4" in why and "24" in why for why in said)


def test_raised_cases_come_first() -> None:
    others = [sent(number, 0.05, author=f"user-{number}") for number in range(10, 14)]
    repeated = [sent(number, 0.04) for number in (1, 2, 3)]
    memory = arrived(*others, *repeated)
    page = memory.desk.queue(Filter(), LEAD, offset=0, limit=3)
    assert {view.id for view in page.cases} == {case.id for case in repeated}


def test_each_further_case_is_raised_with_the_count_so_far() -> None:
    cases = [sent(number, 0) for number in range(1, 6)]
    memory = arrived(*cases)
    assert [repeats(memory, case)["author"] for case in cases] == [3, 3, 3, 4, 5]


def test_what_is_delivered_again_is_not_counted_again() -> None:
    first, second = sent(1, 0), sent(2, 0)
    memory = arrived(first, second, first, second, first)
    assert repeats(memory, first) == repeats(memory, second) == {}
    asyncio.run(memory.open(sent(3, 0)))
    events = len(memory.log)
    asyncio.run(memory.open(first, second, sent(3, 0)))
    assert len(memory.log) == events == 3


def test_cases_a_day_apart_others_and_other_tasks_do_not_count() -> None:
    cases = [
        sent(1, 30),
        sent(2, 2),
        sent(3, 1),
        sent(4, 1, author="anna"),
        sent(5, 1, author=None),
        sent(6, 1, task="suicide-risk"),
        sent(7, 1, verdict="clear", kind="quality_sample"),
        sent(8, 1, kind="golden"),
    ]
    memory = arrived(*cases)
    assert [repeats(memory, case) for case in cases] == [{}] * len(cases)


def test_a_conversation_counts_beside_its_authors() -> None:
    cases = [sent(number, 0, author=f"user-{number}", conversation_id="room") for number in (1, 2, 3)]
    memory = arrived(*cases)
    assert repeats(memory, cases[0]) == {"conversation": 3}


def test_a_raise_makes_nobodys_step_at_the_same_moment_be_refused() -> None:
    memory = arrived(sent(1, 0), sent(2, 0))

    async def scene() -> None:
        claim = await memory.desk.claim(sent(1, 0).id, person("aoi"))
        await memory.open(sent(3, 0))
        await memory.desk.extend(claim.case.id, claim.lease, person("aoi"))
        assert memory.desk.find(claim.case.id, LEAD).raised == ["author"]

    asyncio.run(scene())


def test_no_id_of_an_author_is_in_what_is_sent_or_kept() -> None:
    memory = arrived(*(sent(number, 0, author="vera.lindqvist") for number in (1, 2, 3)))
    kept = [entry for key, entry in memory.table.items() if key.startswith(b"subject:")]
    assert memory.told
    assert kept
    assert "vera.lindqvist" not in repr(memory.told)
    assert "vera.lindqvist" not in repr(kept)
    assert not any(b"vera" in key for key, _ in memory.table.items())


HOURS = st.lists(st.integers(0, 60), min_size=1, max_size=12)


@given(hours=HOURS, order=st.randoms())
def test_the_count_does_not_depend_on_the_order_in_which_cases_come(hours: list[int], order: Random) -> None:
    seen = [Sighting("author", "d", f"case:m:0:{n}", hour, 0) for n, hour in enumerate(hours)]
    shuffled = [*seen, *seen]
    order.shuffle(shuffled)
    subject: Subject | None = None
    for each in shuffled:
        subject = see(subject, each, 0, datetime.now(UTC))
    assert subject is not None
    for own in seen:
        most = max(
            sum(last - 24 < other.hour <= last for other in seen) for last in range(own.hour, own.hour + 24)
        )
        assert len(fullest(subject, own.case_id)) == most


def test_a_window_stays_small_whatever_one_author_writes() -> None:
    subject: Subject | None = None
    for number in range(3 * MAX_SEEN):
        subject = see(subject, Sighting("author", "d", f"case:m:0:{number}", 1, 0), 0, START)
    assert subject is not None
    assert len(subject.cases) == MAX_SEEN
    assert subject.cases[-1].case_id == f"case:m:0:{3 * MAX_SEEN - 1}"


def test_what_is_no_sighting_counts_nothing() -> None:
    case = sent(1, 0)
    assert sightings(structs.replace(case, verdict=None), 0) == []
    assert sightings(structs.replace(case, author_id=None), 0) == []
