"""The desk's benchmark fills an index and asks it everything that a page or a claim asks."""

from bench.desk.index import measure_index
from bench.desk.made import cases
from bench.desk.spread import spread
from schemas.codec import decode, encode
from schemas.events import ReviewCase


def test_its_cases_are_cases_and_the_same_each_time() -> None:
    made = list(cases(50, seed=3))
    assert [decode(ReviewCase, encode(case)) for case in made] == made
    assert len({case.id for case in [*made, *cases(50, seed=4, first=50)]}) == 100
    assert [case.priority for case in cases(50, seed=3)] == [case.priority for case in made]


def test_it_measures_every_question() -> None:
    found = measure_index(300, seed=1)
    assert {"the first page", "a page anywhere", "the next case"} <= found.keys()
    assert all(0 <= times["p50"] <= times["p95"] <= times["worst"] for times in found.values())


def test_the_spread_is_in_milliseconds() -> None:
    assert spread([number / 1000 for number in range(1, 101)]) == {"p50": 50.5, "p95": 96.0, "worst": 100.0}
