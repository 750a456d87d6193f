"""A call into the Kafka client that never returns ends the process; any other ends nothing."""

import queue
import threading
import time

import pytest

from worker.kafka.step_watch import EXIT_CODE, TICK_S, StepWatch


@pytest.fixture
def ended() -> queue.SimpleQueue[int]:
    return queue.SimpleQueue()


def test_a_call_that_does_not_return_ends_the_process(
    ended: queue.SimpleQueue[int], capsys: pytest.CaptureFixture[str]
) -> None:
    watch = StepWatch(2 * TICK_S, ended.put)
    with watch.watching():
        assert ended.get(timeout=30) == EXIT_CODE
    assert "kafka_client_never_answered" in capsys.readouterr().out


def test_many_calls_that_return_end_nothing(ended: queue.SimpleQueue[int]) -> None:
    watch = StepWatch(2 * TICK_S, ended.put)
    until = time.monotonic() + 4 * TICK_S
    while time.monotonic() < until:  # together they take longer than one may
        with watch.watching():
            threading.Event().wait(TICK_S / 4)
    watch.close()
    assert ended.empty()
