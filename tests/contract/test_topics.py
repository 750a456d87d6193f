"""What `worker.kafka.topics` promises where no broker can answer: one clear line, soon."""

import socket
import time
from collections.abc import Callable, Iterator

import pytest

from schemas.topics import load_topics
from worker.errors import BrokerError
from worker.kafka.topics import TopicState, apply_topics, read_topics

Call = Callable[..., list[TopicState]]
both = pytest.mark.parametrize("call", [read_topics, apply_topics])


@pytest.fixture
def closed_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@pytest.fixture
def mute_port() -> Iterator[int]:
    """Takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield int(listener.getsockname()[1])


def _refusal(call: Call, client: dict[str, str]) -> str:
    started = time.monotonic()
    with pytest.raises(BrokerError) as caught:
        call(client, load_topics(), timeout_s=1.0)
    assert time.monotonic() - started < 5.0
    assert "\n" not in str(caught.value)
    return str(caught.value)


@both
def test_no_broker(call: Call, closed_port: int) -> None:
    line = _refusal(call, {"bootstrap.servers": f"127.0.0.1:{closed_port}"})
    assert line.startswith("no Kafka broker answers")
    assert "MIMAMORI_BOOTSTRAP" in line


@both
def test_something_that_is_no_broker(call: Call, mute_port: int) -> None:
    assert _refusal(call, {"bootstrap.servers": f"127.0.0.1:{mute_port}"}).startswith(
        "no Kafka broker answers"
    )


@both
def test_a_client_setting_that_does_not_exist(call: Call) -> None:
    line = _refusal(call, {"bootstrap.servers": "127.0.0.1:1", "sasl.pasword": "hidden-away"})
    assert "sasl.pasword" in line
    assert "hidden-away" not in line
