"""What a person is given next: what they may take, with a share for samples and for the earliest deadline."""

from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from review.cases.views import BLIND
from review.people import Person
from review.queue.index import QueueIndex
from review.queue.order import Filter
from review.queue.take import PROMISED_SECONDS, Taking
from review.queue.turns import Turns
from review.queue.urgency import Law, lane_of
from review.queue.waiting import Reserved, Skip, Waiting
from tests.unit.review.queue.waiting_cases import ANA, AUDITOR, BEN, HOUR, LEA, NOW, made, queues

LAW = Law()
NEVER = 10**9


def taking(*entries: Waiting, sample_every: int = NEVER, due_every: int = NEVER) -> tuple[QueueIndex, Taking]:
    index = QueueIndex(LAW)
    for entry in entries:
        index.put(entry)
    # With this seed, the place of the sample in so long a round is far away.
    return index, Taking(index, Turns(sample_every=sample_every, due_every=due_every))


def taken(
    take: Taking, person: Person, wanted: Filter | None = None, now: float = NOW, **options: bool
) -> str | None:
    entry = take.take_next(person, wanted or Filter(), now, **options)
    return None if entry is None else entry.id.rpartition(":")[2]


@settings(max_examples=50)
@given(queues(), st.sampled_from([ANA, BEN, LEA, AUDITOR]))
def test_everybody_gets_the_most_urgent_case_that_they_may_take(
    entries: list[Waiting], person: Person
) -> None:
    entries = [structs.replace(entry, conversation=None, reserved=None) for entry in entries]
    _, take = taking(*entries)
    possible = [entry for entry in entries if entry.may_be_taken_by(person, NOW) and entry.kind not in BLIND]
    given_out = take.take_next(person, Filter(), NOW)
    if possible:
        assert given_out is not None
        assert LAW.urgency(given_out, NOW) == max(LAW.urgency(entry, NOW) for entry in possible)
    else:
        assert given_out is None or given_out.kind in BLIND


@settings(max_examples=50)
@given(queues(), st.permutations([ANA, BEN, LEA]), st.integers(1, 5), st.integers(1, 5))
def test_no_case_is_given_to_two_people_and_all_that_can_be_taken_are(
    entries: list[Waiting], people: list[Person], sample_every: int, due_every: int
) -> None:
    _, take = taking(*entries, sample_every=sample_every, due_every=due_every)
    given_out: list[str] = []
    for person in people:
        for entry in iter(lambda: take.take_next(person, Filter(), NOW), None):  # noqa: B023 - used at once
            assert entry.may_be_taken_by(person, NOW)
            assert entry.id not in given_out
            given_out.append(entry.id)
    assert sorted(given_out) == sorted(
        entry.id for entry in entries if any(entry.may_be_taken_by(person, NOW) for person in people)
    )


@pytest.mark.parametrize(
    ("fields", "person", "may"),
    [
        ({}, ANA, True),
        ({}, AUDITOR, False),
        ({"holder": "ben"}, ANA, False),
        ({"stage": "second", "readers": ("ana",)}, ANA, False),
        ({"stage": "second", "readers": ("ana",)}, BEN, True),
        ({"stage": "lead", "readers": ("ana", "ben")}, BEN, False),
        ({"stage": "lead", "readers": ("ana", "lea")}, LEA, True),
        ({"reserved": Reserved("ben", NOW + 1)}, ANA, False),
        ({"reserved": Reserved("ben", NOW + 1)}, BEN, True),
        ({"reserved": Reserved("ben", NOW)}, ANA, True),
        ({"skips": (Skip("ana", NOW + 1),)}, ANA, False),
        ({"skips": (Skip("ana", NOW),)}, ANA, True),
        ({"skips": (Skip("ben", NOW + 1),)}, ANA, True),
    ],
)
def test_who_may_take_what(fields: dict[str, object], person: Person, *, may: bool) -> None:
    _, take = taking(made(1, **fields))
    assert taken(take, person) == ("1" if may else None)


def test_what_was_given_is_promised_until_it_is_claimed_or_the_claim_has_failed() -> None:
    index, take = taking(made(1))
    assert taken(take, ANA) == "1"
    assert taken(take, BEN) is None
    take.give_back(made(1).id)
    assert taken(take, BEN) == "1"
    assert taken(take, ANA, now=NOW + PROMISED_SECONDS) == "1"  # the desk lost the claim
    index.put(made(1, holder="ana"))
    index.put(made(1, skips=(Skip("ana", NOW + 60),)))  # claimed and put back: no promise holds any more
    assert taken(take, BEN, now=NOW + PROMISED_SECONDS) == "1"


def test_filters_hold_for_what_is_given() -> None:
    entries = [made(1, level="high"), made(2, level="low"), made(3, level="low", since=NOW - 99 * HOUR)]
    _, take = taking(*entries, made(4, task="other"), made(5, conversation="c", level="low"))
    assert taken(take, ANA, Filter(level="low", overdue=False, task="stress")) in {"2", "5"}
    assert taken(take, ANA, Filter(overdue=True, level="low")) == "3"
    assert taken(take, ANA, Filter(task="other")) == "4"
    assert taken(take, ANA, Filter(mine=True)) is None
    assert taken(take, ANA, Filter(conversation="nobody's")) is None


def test_a_conversation_goes_on_with_the_person_who_knows_it_but_only_in_its_class() -> None:
    known = {"conversation": "c"}
    index, take = taking(
        made(1, **known, since=NOW - 90),
        made(2, since=NOW - 80),
        made(3, **known, since=NOW - 70),
        made(4, **known, level="low"),
        made(5, level="high", since=NOW - 60),
    )
    index.put(made(1, **known, since=NOW - 90, holder="ana"))
    assert taken(take, ANA) == "5"  # more severe: the conversation must wait
    assert taken(take, ANA) == "3"  # as severe as 2, which is older
    assert taken(take, ANA) == "2"
    assert taken(take, ANA) == "4"


def test_a_script_holds_for_quality_samples_and_for_the_conversation_that_goes_on() -> None:
    index, take = taking(
        made(1, script="Latn", conversation="c1"),
        made(2, script="Latn"),
        made(3, script="Jpan", conversation="c1", since=NOW - HOUR / 2),
        made(4, script="Latn", kind="quality_sample"),
        made(5, script="Hani", kind="quality_sample"),
    )
    assert taken(take, ANA) == "1"
    index.put(made(1, script="Latn", conversation="c1", holder="ana"))
    assert taken(take, ANA, Filter(script="Latn")) == "2"  # and not the rest of the talk
    assert [taken(take, BEN, Filter(script="Jpan")) for _ in range(3)] == ["3", "5", None]


def test_what_was_handed_to_somebody_comes_first_in_its_class() -> None:
    _, take = taking(made(1), made(2, since=NOW, reserved=Reserved("ana", NOW + 60)), made(3, level="high"))
    assert taken(take, BEN) == "3"
    assert taken(take, ANA) == "2"
    assert taken(take, ANA) == "1"


def test_severe_cases_can_be_spared() -> None:
    _, take = taking(made(1, level="high"), made(2, level="low"))
    assert taken(take, ANA, spare_severe=True) == "2"
    assert taken(take, ANA, spare_severe=True) is None
    assert taken(take, ANA) == "1"


OVERLOAD = [made(n, level="high", since=NOW - 40 * HOUR + n) for n in range(1000)]


def test_in_overload_one_claim_of_each_round_is_a_quality_sample_at_no_place_that_can_be_counted() -> None:
    samples = [made(2000 + n, kind="quality_sample", since=NOW - n) for n in range(200)]
    _, take = taking(*OVERLOAD, *samples, sample_every=8)
    kinds = [entry.kind for _ in range(800) if (entry := take.take_next(ANA, Filter(level="high"), NOW))]
    rounds = [kinds[start : start + 8] for start in range(0, 800, 8)]
    assert [round_.count("quality_sample") for round_ in rounds] == [1] * 100
    assert len(Counter(round_.index("quality_sample") for round_ in rounds)) == 8


def test_samples_are_given_oldest_first_and_only_of_the_task_that_was_asked_for() -> None:
    old = made(1, kind="quality_sample", since=NOW - 9 * HOUR)
    _, take = taking(
        old, made(2, kind="golden"), made(3, kind="quality_sample", task="other"), sample_every=1
    )
    assert [taken(take, ANA, Filter(task="stress")) for _ in range(3)] == ["1", "2", None]
    assert taken(take, ANA, Filter(kind="unread")) is None


def test_the_share_of_samples_can_change_and_holds_from_the_next_round_on() -> None:
    turns = Turns(sample_every=4, due_every=NEVER)
    seen = []
    for claim in range(4 + 50 + 50):
        if claim == 2:
            turns.sample_every = 50
        seen.append(turns.turn)
        turns.taken()
    assert [seen[:4].count("sample"), seen[4:54].count("sample"), seen[54:].count("sample")] == [1, 1, 1]


@pytest.mark.parametrize(
    "numbers", [{"sample_every": 0, "due_every": 1}, {"sample_every": 1, "due_every": 0}]
)
def test_a_share_of_nothing_is_refused(numbers: Any) -> None:
    with pytest.raises(ValueError, match="1 or more"):
        Turns(**numbers)


def test_nothing_starves_even_if_severe_cases_alone_are_too_many() -> None:
    """Two severe cases arrive for each decision; ten mild cases and a sample are given out all the same."""
    mild = [made(5000 + n, level="low", since=NOW - 25 * HOUR) for n in range(10)]
    index, take = taking(*mild, made(6000, kind="quality_sample"), sample_every=10, due_every=10)
    waiting_still = {entry.id for entry in mild} | {made(6000).id}
    urgent = 0
    for claim in range(1000):
        now = NOW + claim * 60.0
        for n in (0, 1):
            index.put(made(claim * 2 + n, level="high", since=now))
        entry = take.take_next(ANA, Filter(), now)
        assert entry is not None
        urgent += lane_of(entry).level == "high"
        index.drop(entry.id)
        waiting_still.discard(entry.id)
        if not waiting_still:
            break
    assert not waiting_still
    assert urgent / (claim + 1) >= 0.8


def test_without_a_share_for_the_earliest_deadline_a_mild_case_would_starve_there() -> None:
    index, take = taking(made(5000, level="low", since=NOW - 25 * HOUR))
    for claim in range(300):
        index.put(made(claim, level="high", since=NOW + claim * 60.0))
        entry = take.take_next(ANA, Filter(), NOW + claim * 60.0)
        assert entry is not None
        assert entry.level == "high"
        index.drop(entry.id)
