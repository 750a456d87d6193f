from hypothesis import given
from hypothesis import strategies as st

from worker.cache.circuit import Circuit


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def opened(clock: Clock) -> Circuit:
    circuit = Circuit(failures=3, cool_down_s=1.0, longest_s=4.0, clock=clock)
    assert [circuit.failed() for _ in range(3)] == [False, False, True]
    return circuit


def test_opens_after_failures_in_a_row_only() -> None:
    circuit = Circuit(failures=3, clock=Clock())
    for _ in range(5):
        circuit.failed()
        circuit.failed()
        assert not circuit.succeeded()
    assert circuit.allows()
    assert not circuit.is_open


def test_lets_one_probe_through_after_the_cool_down() -> None:
    clock = Clock()
    circuit = opened(clock)
    clock.now = 0.99
    assert not circuit.allows()
    clock.now = 1.0
    assert [circuit.allows(), circuit.allows()] == [True, False]
    assert circuit.succeeded()
    assert circuit.allows()
    assert not circuit.is_open


def test_a_failed_probe_doubles_the_cool_down_up_to_the_longest() -> None:
    clock = Clock()
    circuit = opened(clock)
    for cool_down in (1.0, 2.0, 4.0, 4.0):
        clock.now += cool_down - 0.01
        assert not circuit.allows()
        clock.now += 0.01
        assert circuit.allows()
        assert not circuit.failed()
        assert circuit.is_open


def test_a_probe_that_never_reports_costs_one_more_cool_down() -> None:
    clock = Clock()
    circuit = opened(clock)
    clock.now = 1.0
    assert circuit.allows()
    clock.now = 2.0
    assert circuit.allows()


def test_after_closing_the_first_cool_down_counts_again() -> None:
    clock = Clock()
    circuit = opened(clock)
    clock.now = 1.0
    circuit.allows()
    circuit.failed()
    clock.now = 3.0
    assert circuit.allows()
    circuit.succeeded()
    for _ in range(3):
        circuit.failed()
    clock.now = 4.0
    assert circuit.allows()


@given(st.lists(st.sampled_from(["fail", "succeed", "ask", "wait"]), max_size=60))
def test_never_refuses_for_longer_than_the_longest_cool_down(steps: list[str]) -> None:
    clock = Clock()
    circuit = Circuit(failures=2, cool_down_s=1.0, longest_s=4.0, clock=clock)
    for step in steps:
        match step:
            case "fail":
                circuit.failed()
            case "succeed":
                circuit.succeeded()
            case "ask":
                circuit.allows()
            case _:
                clock.now += 0.5
    clock.now += 4.0
    assert circuit.allows()
