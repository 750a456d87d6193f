"""Miss rates from what people judged: what the weights do, and that the interval keeps its word."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from export.comparing.judged import Judged, Load, cannot_tell, conclude_judged, estimate
from export.comparing.weighted import Stratum, miss_rate

SIZES = st.integers(1, 10_000)


@st.composite
def judged(draw: st.DrawFn) -> Judged:
    at_risk, dismissed, unsure = (draw(st.integers(0, 60)) for _ in range(3))
    decided = at_risk + dismissed + unsure
    return Judged(
        decided + draw(st.integers(0, 5000)),
        decided,
        at_risk,
        draw(st.integers(0, at_risk)),
        dismissed,
        draw(st.integers(0, dismissed)),
        unsure,
    )


@given(judged(), judged())
def test_a_rate_lies_in_its_interval_and_words_are_found_for_everything(
    first: Judged, second: Judged
) -> None:
    rates = estimate(first, second)
    for rate in rates:
        if rate is not None:
            assert 0 <= rate.interval.low <= rate.value <= rate.interval.high <= 1
    assert len(conclude_judged(first, second, Load(100, 40, 30), *rates)) == 5
    assert cannot_tell(first, second, 0.02)


def test_where_everything_was_judged_the_rate_is_the_plain_one() -> None:
    rate = miss_rate([Stratum(40, 40, 3, 17), Stratum(200, 200, 5, 15)])
    assert rate is not None
    assert rate.value == pytest.approx(8 / 40)


def test_each_quality_sample_stands_for_all_that_were_cleared_for_it() -> None:
    escalated = Judged(100, 100, 60, 6, 40, 10, 0)
    sampled = Judged(10_000, 100, 1, 0, 99, 4, 0)  # one of 100 sampled was at risk: 100 of all cleared
    old, new = estimate(escalated, sampled)
    assert old is not None
    assert new is not None
    assert old.value == pytest.approx(100 / 160)
    assert new.value == pytest.approx(6 / 160)
    said = conclude_judged(escalated, sampled, Load(10_100, 100, 90), old, new)
    assert "Of 60 escalated messages that people found at risk, NEW would clear 6 (10.0%" in said[0]
    assert any("stands for 100 cleared messages" in line for line in cannot_tell(escalated, sampled, 0.01))


def test_without_a_decided_sample_nothing_is_said_of_what_was_cleared() -> None:
    old, new = estimate(Judged(100, 100, 60, 6, 40, 10, 0), Judged(10_000, 0, 0, 0, 0, 0, 0))
    assert (old, new) == (None, None)


def test_undecided_cases_are_said_to_lean_to_the_urgent() -> None:
    said = cannot_tell(Judged(100, 20, 10, 1, 10, 2, 0), Judged(1000, 10, 0, 0, 10, 0, 0), 0.01)
    assert any("Not all escalations are decided" in line for line in said)


def test_the_interval_holds_the_true_rate_at_least_as_often_as_it_says() -> None:
    """Streams of which all is known: 300 of 20,000 at risk, OLD escalates 1,000, people see 400 samples."""
    chance = np.random.default_rng(5)
    held = 0
    for _ in range(300):
        missed, found = chance.binomial(1000, 0.02), 180
        cleared_missed, cleared_found, size = 60, 60, 19_000
        true = (missed + cleared_missed) / (missed + found + cleared_missed + cleared_found)
        drawn = chance.multivariate_hypergeometric([cleared_missed, cleared_found, size - 120], 400)
        rate = miss_rate(
            [Stratum(1000, 1000, int(missed), found), Stratum(size, 400, int(drawn[0]), int(drawn[1]))]
        )
        assert rate is not None
        held += rate.interval.low <= true <= rate.interval.high
    assert held >= 0.95 * 300
