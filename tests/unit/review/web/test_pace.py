"""A break is due after long work, and quieter cases are offered after many severe ones; nothing is forbidden."""

from datetime import UTC, datetime, timedelta

from review.web.pages.pace import Pace


class Clock:
    def __init__(self) -> None:
        self.now = datetime(2026, 11, 26, 9, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def pass_minutes(self, minutes: float) -> None:
        self.now += timedelta(minutes=minutes)


def work(pace: Pace, clock: Clock, minutes: int, person: str = "aoi") -> None:
    for _ in range(minutes // 5):
        pace.seen(person)
        clock.pass_minutes(5)
    pace.seen(person)


def test_a_break_is_due_after_steady_work_and_taken_by_ten_quiet_minutes() -> None:
    clock = Clock()
    pace = Pace(break_after_minutes=50, severe_per_hour=8, now=clock)
    assert not pace.strain("aoi").break_is_due
    work(pace, clock, 45)
    assert not pace.strain("aoi").break_is_due
    work(pace, clock, 5)
    assert pace.strain("aoi").break_is_due
    assert pace.strain("aoi").minutes == 50
    assert not pace.strain("ben").break_is_due
    clock.pass_minutes(10)
    assert not pace.strain("aoi").break_is_due
    pace.seen("aoi")
    assert pace.strain("aoi").minutes == 0


def test_severe_cases_count_for_an_hour() -> None:
    clock = Clock()
    pace = Pace(break_after_minutes=50, severe_per_hour=2, now=clock)
    pace.decided_severe("aoi")
    clock.pass_minutes(30)
    pace.decided_severe("aoi")
    assert pace.strain("aoi").severe_is_enough
    assert not pace.strain("ben").severe_is_enough
    pace.taken_back("aoi")
    assert not pace.strain("aoi").severe_is_enough
    pace.decided_severe("aoi")
    clock.pass_minutes(30)
    assert pace.strain("aoi").severe == 1


def test_zero_switches_each_off() -> None:
    clock = Clock()
    pace = Pace(break_after_minutes=0, severe_per_hour=0, now=clock)
    work(pace, clock, 300)
    for _ in range(50):
        pace.decided_severe("aoi")
    assert not pace.strain("aoi").break_is_due
    assert not pace.strain("aoi").severe_is_enough
    pace.taken_back("nobody")
