"""A worker asks for its topic once a second: how long nobody has answered."""

import socket
from concurrent.futures import Future
from typing import Any
from unittest import mock

from tests.fakes.worker_app import wait_for
from worker.kafka.topic_watch import TopicWatch


def test_a_broker_that_takes_connections_and_says_nothing_is_silent() -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        watch = TopicWatch({"bootstrap.servers": f"127.0.0.1:{mute.getsockname()[1]}"}, "messages")
        assert watch.silence_s == 0  # nothing was asked yet

        def silence() -> float:
            assert watch.glance() == ""
            return watch.silence_s

        wait_for(lambda: silence() > 1.5)  # over more than one question


def test_an_answer_that_nobody_has_read_yet_is_no_silence() -> None:
    """The polling thread may wait for batches in flight meanwhile, longer than a silence may last."""
    asked: Future[Any] = Future()
    admin = mock.Mock()
    admin.describe_topics.return_value = {"messages": asked}
    with mock.patch("worker.kafka.topic_watch.make_admin", return_value=admin):
        watch = TopicWatch({}, "messages")
        watch.glance()
        wait_for(lambda: watch.silence_s > 0)
        asked.set_result(None)
        assert watch.silence_s == 0
