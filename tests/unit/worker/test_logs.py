"""Logs: structured, on standard error, and without a word of any message."""

import json
import logging
from collections.abc import Iterator, Sequence

import pytest
import structlog

import schemas
from engine.errors import DeviceError, FatalError
from engine.scores import Scores
from mimamori.soak.canned_engine import CannedEngine
from schemas.events import Message
from tests.fakes.memory_broker import MemoryBroker, MemoryConsumer, MemoryProducer
from tests.fakes.worker_app import Running, build_app, settings, wait_for
from worker.kafka import Consumer, RebalanceListener
from worker.telemetry.logs import configure_logs, where

SECRET = "the words of someone in need"  # noqa: S105 - a message's text
NAMES = schemas.topic_names()


@pytest.fixture(autouse=True)
def _structlog_as_it_was() -> Iterator[None]:
    yield
    structlog.reset_defaults()


def test_json_logs_are_one_object_a_line_on_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs("json")
    log = structlog.get_logger()
    log.debug("left_out")
    log.info("engine_ready", engine="cpu fp32", task="見守り")
    log.warning("revoke_deadline_passed", in_flight=2)
    captured = capsys.readouterr()
    assert captured.out == ""
    first, second = map(json.loads, captured.err.splitlines())
    assert (first["event"], first["level"], first["engine"]) == ("engine_ready", "info", "cpu fp32")
    assert first["timestamp"].endswith("Z")
    assert (second["level"], second["in_flight"]) == ("warning", 2)


def test_console_logs_go_to_standard_error_from_the_level_asked(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs("console", logging.WARNING)
    structlog.get_logger().info("left_out")
    structlog.get_logger().warning("kept")
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "kept" in captured.err
    assert "left_out" not in captured.err
    assert "\x1b" not in captured.err  # no colours where nobody looks


def fail() -> None:
    raise ValueError(SECRET)


def test_where_names_the_innermost_line_and_not_the_message() -> None:
    with pytest.raises(ValueError, match=SECRET) as raised:
        fail()
    place = where(raised.value)
    assert place == f"{__file__}:{fail.__code__.co_firstlineno + 1}"
    assert where(ValueError(SECRET)) == "unknown"


class QuotingEngine(CannedEngine):
    """A model library whose error quotes what it was given, as they do."""

    def __init__(self, kind: type[Exception], broken: str) -> None:
        super().__init__(levels=3, reading="prompted")
        self._kind, self._broken = kind, broken

    def read(self, texts: Sequence[str]) -> list[Scores]:
        if self._broken == "read":
            raise self._kind(f"cannot tokenise {texts[0]!r}")
        return [Scores(0.9, None, 1, truncated=False) for _ in texts]

    def grade(self, texts: Sequence[str]) -> list[tuple[float, ...]]:
        raise self._kind(f"cannot tokenise {texts[0]!r}")


@pytest.mark.parametrize("broken", ["read", "grade"])
@pytest.mark.parametrize("kind", [ValueError, RuntimeError, UnicodeError, KeyError])
def test_no_log_line_quotes_a_text_even_where_an_error_does(kind: type[Exception], broken: str) -> None:
    broker = MemoryBroker()
    for name in NAMES.values():
        broker.create(name, 2)
    for number in range(20):
        value = (
            b"not json: " + SECRET.encode()
            if number % 3
            else json.dumps({"id": "m", "text": SECRET}).encode()
        )
        broker.append(NAMES[Message], str(number).encode(), value)

    def consumer_of(listener: RebalanceListener) -> Consumer:
        return MemoryConsumer(broker, NAMES[Message], listener)

    with structlog.testing.capture_logs() as lines:
        app = build_app(settings(), engine=QuotingEngine(kind, broken))
        worker = Running(app, consumer_of, MemoryProducer(broker, "a"))
        wait_for(lambda: not worker.thread.is_alive())
    assert worker.error is not None
    (failed,) = (line for line in lines if line["event"] == "station_failed")
    assert failed["station"] == "screener"
    assert f"{kind.__name__} at " in failed["error"]
    assert "test_logs.py:" in failed["error"]  # enough to find it
    assert SECRET not in repr(lines)
    # Nor is it in what the command line prints, or in any traceback it could print.
    assert isinstance(worker.error, FatalError)
    assert SECRET not in str(worker.error)


def test_an_error_raised_on_purpose_is_logged_in_full() -> None:
    broker = MemoryBroker()
    for name in NAMES.values():
        broker.create(name, 1)
    broker.append(NAMES[Message], b"k", json.dumps({"id": "m", "text": SECRET}).encode())

    class GoneEngine(CannedEngine):
        def read(self, texts: Sequence[str]) -> list[Scores]:
            del texts
            raise DeviceError("the GPU has gone: restart the worker")

    with structlog.testing.capture_logs() as lines:
        worker = Running(
            build_app(settings(), engine=GoneEngine(levels=3)),
            lambda listener: MemoryConsumer(broker, NAMES[Message], listener),
            MemoryProducer(broker, "a"),
        )
        wait_for(lambda: not worker.thread.is_alive())
    assert any(line.get("error") == "the GPU has gone: restart the worker" for line in lines)
    assert SECRET not in repr(lines)
