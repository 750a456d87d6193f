"""The forecast in plain words, in both languages: what is delayed, what it costs, and what would help."""

from datetime import UTC, datetime

import pytest

from review.queue.capacity import Forecast, forecast, reviewers_missing, sample_every
from review.queue.flow import Pace
from review.queue.live import Capacity
from review.queue.urgency import Lane, Law
from review.web.pages.capacity_words import capacity_words, in_sum
from review.web.pages.house import house
from review.web.pages.language import Language, words
from review.web.pages.shown import Shower

NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)
AT, HOUR = NOW.timestamp(), 3600.0
HIGH, LOW = Lane("stress", "escalation", "high", 1.0), Lane("stress", "escalation", "low", 0.0)


def seen(
    waiting: dict[Lane, list[float]], *, each: float | None, at_work: int, **arrivals: float
) -> Forecast:
    lanes = {"high": HIGH, "low": LOW}
    pace = Pace(HOUR, {lanes[name]: rate for name, rate in arrivals.items()}, 20, each, at_work)
    return forecast(waiting, pace, Law(), AT, hours=24, sample_every=10, due_every=10)


def said(made: Forecast, language: Language = "en", *, every: int = 10) -> list[str]:
    t = words(language)
    return list(capacity_words(Capacity(made, every, 10), t, Shower(t, house(None), str, NOW)))


def rush() -> Forecast:
    waiting = {HIGH: [AT - HOUR] * 30, LOW: [AT - 20 * HOUR] * 600}
    return seen(waiting, each=10, at_work=2, high=3, low=30)


def test_it_says_what_is_delayed_what_that_costs_and_what_would_help() -> None:
    made = rush()
    lines = said(made, every=sample_every(made.pressure, most=0.1, least=0.02))
    assert lines[0] == (
        "Readers at work: 2. Cases decided in an hour: 20; arriving in an hour: 33 (last 1 h)."
    )
    assert lines[1].startswith("stress: high: will be late for the deadline of 30 min: ")
    assert ", 30 of them already, the next at " in lines[1]
    assert lines[2].startswith("stress: low: will be late for the deadline of 24 h: ")
    assert lines[3].startswith(f"Late cases within 24 h: {made.missed}, {made.missed_severe} of them severe.")
    assert lines[4] == f"So many more readers would keep the deadlines: {reviewers_missing(made)}."
    assert lines[5].startswith("One claim in 50 is a quality sample instead of one in 10")
    assert lines[6] == "Nothing is dropped: what is delayed is decided later."


def test_a_calm_day_and_a_desk_without_people() -> None:
    calm = seen({LOW: [AT]}, each=10, at_work=1, low=1)
    assert said(calm) == [
        "Readers at work: 1. Cases decided in an hour: 10; arriving in an hour: 1 (last 1 h).",
        "All deadlines of the next 24 h can be kept.",
    ]
    alone = said(seen({HIGH: [AT - 60]}, each=None, at_work=0))
    assert alone[0] == "Nobody is at work. Cases arriving in an hour: 0 (last 1 h)."
    assert alone[1] == "stress: high: will be late for the deadline of 30 min: 1, the next at 12:29 UTC."
    idle = said(seen({HIGH: [AT - HOUR]}, each=None, at_work=1))
    assert "nobody has decided a case in the last 1 h" in idle[0]
    assert idle[1] == "stress: high: past the deadline of 30 min already: 1."


@pytest.mark.parametrize("made", [rush(), seen({LOW: [AT]}, each=10, at_work=1)], ids=["rush", "calm"])
def test_japanese_says_the_same_numbers(made: Forecast) -> None:
    english, japanese = said(made, every=50), said(made, "ja", every=50)
    assert len(english) == len(japanese)
    assert not any(line.isascii() for line in japanese)
    assert str(made.missed) in "".join(japanese)


def test_a_rush_in_japanese() -> None:
    made = rush()
    lines = said(made, "ja", every=50)
    assert "2 人" in lines[0]
    assert "20 件、" in lines[0]
    assert "33 件" in lines[0]
    assert lines[-2:] == [
        "期限を守れるようになるまで、品質確認は 10 件に1件ではなく 50 件に1件です。",
        "捨てられる案件はありません。遅れた案件は後で判断されます。",
    ]


@pytest.mark.parametrize(("hours", "says"), [(0.0, "0 s"), (0.4, "24 min"), (1.0, "1 h"), (1451.2, "1451 h")])
def test_what_people_wait_in_sum_is_in_hours_as_soon_as_it_is_one(hours: float, says: str) -> None:
    assert in_sum(hours, words("en")) == says
