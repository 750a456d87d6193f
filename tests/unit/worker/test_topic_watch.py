"""A worker asks for its topic once a second: how long nobody has answered."""

import socket

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
