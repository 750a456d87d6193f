"""What libraries log becomes one line each, and what they say over and over does not drown the rest."""

import logging

import structlog

from review.logs import MOST_SAID, SAME_AGAIN_AFTER_S, OneLine
from tests.unit.review.test_sessions import Clock


def said(clock: Clock, *records: tuple[float, str, str]) -> list[tuple[str, int]]:
    """The messages that were passed on, and how often each is said to have come."""
    handler = OneLine(clock)
    with structlog.testing.capture_logs() as lines:
        for wait, message, place in records:
            clock.at += wait
            handler.emit(logging.LogRecord("aiokafka", logging.ERROR, "", 0, message, (place,), None))
    return [(line["message"], line.get("times", 1)) for line in lines]


def test_what_is_said_over_and_over_is_passed_on_now_and_then() -> None:
    lost = [(0.01, "no connection to %s", place) for place in ("a:9092", "b:9092", "a:9092")]
    other, later = (0.0, "joined %s", "group"), (SAME_AGAIN_AFTER_S, "no connection to %s", "a:9092")
    assert said(Clock(), *lost, other, later, later) == [
        ("no connection to a:9092", 1),
        ("joined group", 1),
        ("no connection to a:9092", 3),
        ("no connection to a:9092", 1),
    ]


def test_a_library_that_formats_its_messages_itself_fills_no_memory() -> None:
    handler = OneLine(Clock())
    with structlog.testing.capture_logs() as lines:
        for number in range(3 * MOST_SAID):
            handler.emit(logging.LogRecord("faust", logging.ERROR, "", 0, f"offset {number}", (), None))
    assert len(lines) == 3 * MOST_SAID
    assert len(handler._said) == MOST_SAID


def test_of_a_traceback_the_errors_class_is_left() -> None:
    record = logging.LogRecord("faust", logging.ERROR, "", 0, "crashed\nwith more", (), None)
    fault = ValueError("what somebody wrote")
    record.exc_info = (ValueError, fault, None)
    with structlog.testing.capture_logs() as lines:
        OneLine().emit(record)
    assert lines == [
        {
            "event": "library_says",
            "log_level": "error",
            "library": "faust",
            "message": "crashed",
            "error": "ValueError",
        }
    ]
