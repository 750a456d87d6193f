"""A call that takes many times its time ends the process, with one line that says what to do."""

import json
import queue
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fakes.worker_app import build_app, settings
from tests.unit.worker.test_in_hand import batch_of, entry
from worker.stream.pace import Pace
from worker.stream.watchdog import EXIT_CODE, Watchdog

HUNG = """
import ctypes, os, sys, threading
from tests.unit.worker.test_in_hand import batch_of, entry
from worker.telemetry.logs import configure_logs
from worker.stream.pace import Pace
from worker.stream.watchdog import Watchdog

configure_logs("json")
dog = Watchdog(0.6, 20.0, Pace())
dog.start()
with dog.watching(batch_of(entry(3), entry(8))):
    {hang}
"""


def hung(hang: str) -> subprocess.CompletedProcess[str]:
    """A process that hangs so, in a call that may take 0.6 s."""
    return subprocess.run(
        [sys.executable, "-c", HUNG.format(hang=hang)],
        cwd=Path(__file__).parents[3],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_call_that_never_returns_ends_the_process_and_says_what_was_in_hand() -> None:
    ended = hung("threading.Event().wait()")
    assert ended.returncode == EXIT_CODE
    (line,) = ended.stderr.splitlines()
    told = json.loads(line)
    assert (told["event"], told["level"]) == ("model_never_answered", "critical")
    assert told["in_hand"] == ["messages/0 3-8"]
    assert "threading.py" in told["at"]
    assert "MIMAMORI_WATCHDOG_FLOOR_S" in told["remedy"]


def test_one_that_holds_the_interpreters_lock_ends_it_too() -> None:
    ended = hung("ctypes.PyDLL(None).sleep(3600)")
    assert ended.returncode == 1
    assert "Timeout" in ended.stderr
    assert "most recent call first" in ended.stderr


@pytest.mark.parametrize(
    ("tokens", "seconds", "limit"),
    [(0, 1.0, 30.0), (10_000, 1.0, 200.0), (10_000, 0.01, 30.0)],
)
def test_the_limit_follows_the_pace_above_a_floor(tokens: int, seconds: float, limit: float) -> None:
    pace = Pace()
    dog = Watchdog(30.0, 20.0, pace)
    assert dog.limit_s(10_000_000) == 30.0  # before anything was measured
    pace.note(1000, seconds)
    assert dog.limit_s(tokens) == pytest.approx(limit)


def test_one_that_ends_in_time_is_forgotten() -> None:
    ends: queue.SimpleQueue[int] = queue.SimpleQueue()
    dog = Watchdog(0.5, 20.0, Pace(), ends.put)
    dog.start()
    for _ in range(3):
        with dog.watching(batch_of(entry(1))):
            pass
    with dog.watching(batch_of(entry(2))):
        assert ends.get(timeout=30) == EXIT_CODE  # this one, and none of those before
    dog.close()
    assert ends.empty()


def test_in_a_tests_own_process_it_ends_nothing() -> None:
    """See tests/conftest.py: a worker that a failed test leaves behind would end the tests of other files."""
    assert build_app(settings(watchdog_floor_s=0.1))._watchdog.limit_s(1) > 100_000
