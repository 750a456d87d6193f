import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.stream.pace import FIRST, Pace


def test_before_anything_is_measured_batches_are_small() -> None:
    pace = Pace()
    pace.note(100, 0.001)  # too few to say anything
    pace.note(5_000, 0.0)
    assert pace.tokens_in(60.0) == FIRST


@given(st.lists(st.tuples(st.integers(256, 10**6), st.floats(0.01, 100)), min_size=1))
def test_it_stays_between_the_slowest_and_the_fastest(batches: list[tuple[int, float]]) -> None:
    pace = Pace()
    for tokens, seconds in batches:
        pace.note(tokens, seconds)
    rates = [tokens / seconds for tokens, seconds in batches]
    assert 0.999 * min(rates) <= pace.tokens_in(1.0) <= 1.001 * max(rates)


def test_it_follows_a_device_that_slows_down() -> None:
    pace = Pace()
    pace.note(10_000, 1.0)
    for _ in range(20):
        pace.note(10_000, 10.0)
    assert pace.tokens_in(5.0) == pytest.approx(5_000, rel=0.1)
