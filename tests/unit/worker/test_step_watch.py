"""A call into the Kafka client that never returns ends the process; any other ends nothing."""

import queue
import subprocess
import sys
import threading
import time
from pathlib import Path

import confluent_kafka as ck
import pytest

from worker.errors import BrokerError
from worker.kafka import producer
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


PRODUCER = """
import threading
import worker.kafka.producer as module

class Hanging:
    def init_transactions(self, timeout):
        threading.Event().wait()

module.NEVER_S = 0.5
module.make = lambda *_: Hanging()
module.KafkaProducer({}, "t")
"""


def test_a_producer_whose_client_hangs_ends_its_process() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", PRODUCER],
        cwd=Path(__file__).parents[3],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert ended.returncode == EXIT_CODE
    assert "kafka_client_never_answered" in ended.stdout + ended.stderr


@pytest.mark.parametrize("said", [ck.KafkaException(ck.KafkaError(ck.KafkaError._AUTHENTICATION)), OSError()])
def test_a_producer_that_cannot_start_leaves_no_watch_behind(
    said: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Refused:
        def init_transactions(self, timeout: float) -> None:
            del timeout
            raise said

    monkeypatch.setattr(producer, "make", lambda *_: Refused())
    before = set(threading.enumerate())
    with pytest.raises((BrokerError, OSError)):
        producer.KafkaProducer({}, "t")
    for thread in set(threading.enumerate()) - before:
        thread.join(30)
        assert not thread.is_alive(), thread.name


def test_a_producer_whose_settings_are_wrong_leaves_no_watch_behind() -> None:
    before = set(threading.enumerate())
    with pytest.raises(BrokerError, match="settings"):
        producer.KafkaProducer({"no.such.setting": 1}, "t")
    assert not set(threading.enumerate()) - before
