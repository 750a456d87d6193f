"""A call that hangs keeps nobody waiting beyond the deadline, and its late answer goes nowhere."""

import threading
import time

import pytest

from worker.cache.bounded import Bounded


def test_an_answer_and_an_error_come_as_they_are() -> None:
    bounded = Bounded("test")
    assert bounded.call(lambda: 7, 10) == 7
    with pytest.raises(ZeroDivisionError):
        bounded.call(lambda: 1 // 0, 10)
    assert bounded.call(lambda: 8, 10) == 8


def test_nobody_waits_longer_than_the_deadline_and_a_late_answer_is_nobody_elses() -> None:
    bounded, release = Bounded("test"), threading.Event()
    made: list[str] = []

    def hang() -> str:
        release.wait(30)
        made.append("first")
        return "late"

    started = time.monotonic()
    with pytest.raises(TimeoutError):
        bounded.call(hang, 0.05)
    with pytest.raises(TimeoutError):  # behind the one that hangs
        bounded.call(lambda: made.append("second"), 0.05)
    assert time.monotonic() - started < 10
    release.set()
    assert bounded.call(lambda: "mine", 10) == "mine"
    assert made == ["first"]  # what nobody waited for any more was never begun
