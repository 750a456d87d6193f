"""What librdkafka says is passed on, and what it says ten times a second once a minute."""

import logging

import pytest
from structlog.testing import capture_logs

from worker.kafka import client
from worker.kafka.refusals import SAY_AGAIN_S

FAILED = "FAIL [rdkafka#consumer-1] [thrd:b:1/bootstrap]: Connect to b:1 failed (after {}ms in state CONNECT)"


def test_the_same_is_said_once_a_minute_and_anything_else_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr("worker.kafka.client.time.monotonic", lambda: now)
    handler = client.ToStructlog()

    def say(line: str) -> None:
        handler.handle(logging.LogRecord("mimamori.kafka", logging.WARNING, "", 0, line, None, None))

    with capture_logs() as logs:
        for took in range(200):
            say(FAILED.format(took))
        say(FAILED.format("0") + ", 7 identical error(s) suppressed")
        say("offset reset to beginning for topic a")
        say("offset reset to beginning for topic b")
        now = SAY_AGAIN_S
        say(FAILED.format(3))
    assert [each["line"][:6] for each in logs] == ["FAIL [", "offset", "offset", "FAIL ["]
