"""The cap on severe cases and the suggested break; why cases are put back; the settings of the queue."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from review.errors import DeskError
from review.queue.exposure import Exposure
from review.queue.rules import rules_of
from review.queue.skips import SKIP_REASONS, away_until
from review.settings import load_settings
from tests.unit.review.queue.waiting_cases import HOUR, NOW


def test_at_the_cap_severe_cases_are_spared_until_the_oldest_is_an_hour_ago() -> None:
    exposure = Exposure(severe_per_hour=3, break_after=HOUR)
    for number, minutes in enumerate((50, 30, 10)):
        assert exposure.load("ana", NOW).spared_until is None
        exposure.claimed_severe("ana", f"case:{number}", NOW - minutes * 60)
        exposure.claimed_severe("ana", f"case:{number}", NOW - minutes * 60)  # told again
    load = exposure.load("ana", NOW)
    assert (load.severe, load.cap, load.spared_until) == (3, 3, NOW + 10 * 60)
    assert exposure.load("ana", NOW + 10 * 60).spared_until is None
    assert exposure.load("ben", NOW).severe == 0


@given(st.lists(st.integers(0, 7200), max_size=30, unique=True), st.integers(1, 5))
def test_whoever_follows_the_cap_never_has_more_within_any_hour(ages: list[int], cap: int) -> None:
    exposure = Exposure(severe_per_hour=cap, break_after=HOUR)
    taken: list[float] = []
    for age in sorted(ages, reverse=True):
        now = NOW - age
        load = exposure.load("ana", now)
        if load.spared_until is None:
            exposure.claimed_severe("ana", f"case:{age}", now)
            taken.append(now)
        else:
            assert now < load.spared_until <= now + HOUR
    assert all(sum(begin <= at < begin + HOUR for at in taken) <= cap for begin in taken)


def test_a_break_is_suggested_after_work_without_one() -> None:
    exposure = Exposure(severe_per_hour=3, break_after=50 * 60)
    for minutes in (100, 90, 60, 48, 36, 24, 12, 0):
        exposure.worked("ana", NOW - minutes * 60)
    load = exposure.load("ana", NOW)
    assert load.worked == 60 * 60  # the half hour between 90 and 60 minutes ago was a break
    assert load.break_due
    assert not exposure.load("ana", NOW + 16 * 60).break_due


def test_some_reasons_keep_a_case_away_for_good() -> None:
    assert away_until("not_now", NOW, seconds=60) == NOW + 60
    assert away_until(None, NOW, seconds=60) == NOW + 60
    assert away_until("a reason of the house", NOW, seconds=60) == NOW + 60
    assert away_until("know_the_person", NOW, seconds=60) == float("inf")
    assert all(reason.meaning for reason in SKIP_REASONS.values())


def test_deadlines_are_set_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MIMAMORI_REVIEW_DEADLINE_MINUTES", "suicide-risk/attempt=5, high=20,")
    monkeypatch.setenv("MIMAMORI_REVIEW_LEAST_SEVERE_MINUTES", "600")
    law = rules_of(load_settings()).law
    assert law.deadlines == {"suicide-risk/attempt": 300.0, "high": 1200.0}
    assert (law.most_severe, law.least_severe) == (1800.0, 36_000.0)


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("DEADLINE_MINUTES", "high", "DEADLINE_MINUTES: .*name=minutes"),
        ("DEADLINE_MINUTES", "high=soon", "DEADLINE_MINUTES"),
        ("DEADLINE_MINUTES", "high=0", "the deadline of high must be more than 0"),
        ("MOST_SEVERE_MINUTES", "2000", "must not exceed least_severe_minutes"),
        ("QUALITY_SHARE", "0.01", "must not exceed quality_share"),
        ("QUALITY_SHARE_LEAST", "0", "QUALITY_SHARE_LEAST"),
        ("SEVERE_PER_HOUR", "0", "SEVERE_PER_HOUR"),
    ],
)
def test_a_wrong_setting_of_the_queue_is_named(
    name: str, value: str, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"MIMAMORI_REVIEW_{name}", value)
    with pytest.raises(DeskError, match=says):
        load_settings()
