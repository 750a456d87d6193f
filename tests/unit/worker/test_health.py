"""The health endpoints over real HTTP: what a probe and Prometheus see."""

import socket
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import ExitStack

import pytest
import structlog

import schemas
from engine.errors import SettingsError
from schemas.events import Message
from tests.fakes.memory_broker import MemoryBroker, MemoryConsumer, MemoryProducer
from tests.fakes.worker_app import Running, build_app, settings, wait_for
from worker.kafka import Consumer, Membership, RebalanceListener
from worker.kafka.record import Offsets, Outbound, Record
from worker.telemetry.catalogue import CATALOGUE
from worker.telemetry.health import Health
from worker.telemetry.metrics import Metrics


class State:
    """What the two probes answer."""

    live: str | None = None
    ready: str | None = None


@pytest.fixture
def state() -> State:
    return State()


@pytest.fixture
def health(state: State) -> Iterator[Health]:
    with Health("127.0.0.1", 0, Metrics(), lambda: state.live, lambda: state.ready) as server:
        yield server


def get(port: int, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def test_a_well_worker_answers_ok(health: Health) -> None:
    assert [get(health.port, path) for path in ("/livez", "/readyz")] == [(200, "ok\n")] * 2


def test_each_probe_says_what_is_wrong_with_it_alone(health: Health, state: State) -> None:
    state.ready = "waiting for an assignment"
    assert get(health.port, "/readyz") == (503, "waiting for an assignment\n")
    assert get(health.port, "/livez")[0] == 200
    state.live, state.ready = "polling stopped 61 s ago", None
    assert get(health.port, "/livez") == (503, "polling stopped 61 s ago\n")
    assert get(health.port, "/readyz")[0] == 200


@pytest.mark.parametrize("path", ["/", "/livez/", "/healthz", "/metrics/x", "/../livez"])
def test_an_unknown_path_is_not_found(health: Health, path: str) -> None:
    code, body = get(health.port, path)
    assert code == 404
    assert "/livez, /readyz and /metrics" in body


def test_metrics_show_every_name_of_the_catalogue_before_anything_happened(health: Health) -> None:
    code, body = get(health.port, "/metrics")
    assert code == 200
    for metric in CATALOGUE:
        assert f"# HELP {metric.name} {metric.meaning}" in body


def test_probes_are_answered_side_by_side(state: State) -> None:
    """A scrape that hangs must not make Kubernetes kill the worker."""
    held = threading.Event()

    def slow() -> str | None:
        held.wait(10)
        return None

    with Health("127.0.0.1", 0, Metrics(), lambda: state.live, slow) as server:
        first = threading.Thread(target=get, args=(server.port, "/readyz"))
        first.start()
        assert get(server.port, "/livez")[0] == 200
        held.set()
        first.join(10)


@pytest.mark.parametrize("sent", [b"", b"GET /livez HTTP/1.1\r\nHost: loc"])
def test_who_does_not_finish_asking_is_hung_up_on(
    sent: bytes, state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.telemetry.health.ASKING_S", 0.2)
    with (
        Health("127.0.0.1", 0, Metrics(), lambda: state.live, lambda: state.ready) as server,
        socket.create_connection(("127.0.0.1", server.port), 20) as idle,
    ):
        idle.sendall(sent)
        assert idle.recv(1) == b""


def test_the_longest_asking_goes_where_there_are_too_many(
    health: Health, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.telemetry.health.CONNECTIONS", 2)
    with ExitStack() as held:
        address = ("127.0.0.1", health.port)
        first, second = (held.enter_context(socket.create_connection(address, 20)) for _ in range(2))
        assert get(health.port, "/livez")[0] == 200
        assert first.recv(1) == b""
        second.sendall(b"GET /livez HTTP/1.0\r\n\r\n")
        assert second.recv(1 << 16).startswith(b"HTTP/1.0 200")


def test_a_taken_port_is_one_clear_line(health: Health) -> None:
    with pytest.raises(SettingsError, match="MIMAMORI_HEALTH_PORT") as refusal:
        Health("127.0.0.1", health.port, Metrics(), lambda: None, lambda: None)
    assert f"127.0.0.1:{health.port}" in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_an_address_that_is_not_here_is_one_clear_line() -> None:
    with pytest.raises(SettingsError, match="MIMAMORI_HEALTH_HOST"):
        Health("192.0.2.1", 0, Metrics(), lambda: None, lambda: None)


def test_the_port_is_free_again_afterwards() -> None:
    with Health("127.0.0.1", 0, Metrics(), lambda: None, lambda: None) as first:
        port = first.port
    with Health("127.0.0.1", port, Metrics(), lambda: None, lambda: None) as second:
        assert get(second.port, "/livez")[0] == 200


class StuckConsumer(MemoryConsumer):
    """A consumer whose poll does not return until told, as a client library that hangs."""

    def __init__(self, broker: MemoryBroker, topic: str, listener: RebalanceListener) -> None:
        super().__init__(broker, topic, listener)
        self.go_on = threading.Event()
        self.silent_s = 0.0

    def poll(self, limit: int, timeout_s: float) -> list[Record]:
        self.go_on.wait(30)
        return super().poll(limit, timeout_s)

    def silence_s(self) -> float:
        return self.silent_s


class HangingProducer(MemoryProducer):
    """A producer whose commit does not return until told, whatever deadline it was given."""

    def __init__(self, broker: MemoryBroker) -> None:
        super().__init__(broker, "a")
        self.go_on = threading.Event()

    def commit(self, outbound: Sequence[Outbound], offsets: Offsets, membership: Membership) -> None:
        self.go_on.wait(30)
        super().commit(outbound, offsets, membership)


class Worker:
    """A running app on the in-memory broker; its consumer is stuck until told otherwise."""

    def __init__(self) -> None:
        self.broker = broker = MemoryBroker()
        for name in schemas.topic_names().values():
            broker.create(name, 1)
        self.producer = HangingProducer(broker)
        consumers: list[StuckConsumer] = []

        def consumer_of(listener: RebalanceListener) -> Consumer:
            consumers.append(StuckConsumer(broker, schemas.topic_names()[Message], listener))
            return consumers[0]

        with structlog.testing.capture_logs() as lines:
            self.running = Running(build_app(settings(health_port=0)), consumer_of, self.producer)
            wait_for(lambda: any(line["event"] == "worker_started" for line in lines))
        (self.port,) = (line["health_port"] for line in lines if line["event"] == "worker_started")
        self.consumer = consumers[0]
        self.go_on = self.consumer.go_on


@pytest.fixture
def worker() -> Iterator[Worker]:
    started = Worker()
    yield started
    started.go_on.set()
    started.producer.go_on.set()
    started.running.stop()


def test_a_worker_is_ready_from_its_assignment_until_its_drain(worker: Worker) -> None:
    assert get(worker.port, "/readyz") == (503, "waiting for an assignment\n")
    worker.go_on.set()
    wait_for(lambda: get(worker.port, "/readyz")[0] == 200)
    worker.go_on.clear()
    worker.running.app.stop()
    assert get(worker.port, "/readyz") == (503, "draining\n")
    assert get(worker.port, "/livez")[0] == 200


def test_a_worker_that_no_broker_answers_is_not_ready_and_alive_all_the_same(worker: Worker) -> None:
    worker.go_on.set()
    wait_for(lambda: get(worker.port, "/readyz")[0] == 200)
    worker.consumer.silent_s = 14.0
    assert get(worker.port, "/readyz")[0] == 200
    worker.consumer.silent_s = 15.4
    assert get(worker.port, "/readyz") == (503, "Kafka has not answered for 15 s\n")
    assert get(worker.port, "/livez")[0] == 200
    worker.consumer.silent_s = 0.0
    assert get(worker.port, "/readyz")[0] == 200


def test_a_worker_is_alive_only_while_its_polling_thread_turns(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert get(worker.port, "/livez")[0] == 200
    monkeypatch.setattr("worker.app.STALLED_S", 0.5)
    wait_for(lambda: get(worker.port, "/livez")[0] == 503)
    assert get(worker.port, "/livez")[1].startswith("polling stopped")
    worker.go_on.set()
    wait_for(lambda: get(worker.port, "/livez")[0] == 200)


def test_a_worker_whose_commit_never_returns_is_not_alive(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its polling thread would keep its partitions for ever."""
    monkeypatch.setattr("worker.app.HUNG_S", 0.2)
    worker.go_on.set()
    worker.broker.append(schemas.topic_names()[Message], b"k", b"not JSON")
    wait_for(lambda: get(worker.port, "/livez")[0] == 503)
    assert get(worker.port, "/livez")[1].startswith("a commit has not ended for")
    worker.producer.go_on.set()
    wait_for(lambda: get(worker.port, "/livez")[0] == 200)
