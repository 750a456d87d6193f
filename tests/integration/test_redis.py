"""The score cache on a real Redis that dies, hangs, lies and comes back."""

import contextlib
import os
import signal
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
import redis

from engine.errors import SettingsError
from engine.scores import Scores
from mimamori.sandbox.redis_server import RedisServer
from mimamori.sandbox.server import HOST
from worker.cache.circuit import Circuit
from worker.cache.key import cache_key, seal
from worker.cache.redis_client import RedisClient, ping
from worker.cache.score_cache import LocalCache, RedisCache

SECRET = b"a secret of sixteen or more"
BUNDLE = "fingerprint"
LIMIT = 3  # failures in a row that open the circuit
COOL_DOWN = 1.0


class Worker:
    """One worker's cache without an LRU, so that every lookup asks Redis, and what it told."""

    def __init__(self, url: str, entries: int = 0) -> None:
        self.now = 0.0
        self.told: Counter[str] = Counter()
        self.circuit = Circuit(LIMIT, COOL_DOWN, clock=lambda: self.now)
        local = LocalCache(SECRET, BUNDLE, entries, self.tell)
        self.cache = RedisCache(local, RedisClient(url), SECRET, 60, self.tell, self.circuit)

    def tell(self, event: str, count: int) -> None:
        self.told[event] += count

    def knows(self, text: str) -> bool:
        (found,) = self.cache.lookup([text])
        assert found in (None, scores_of(text))
        return found is not None

    def remember(self, text: str) -> None:
        self.cache.store([text], [scores_of(text)])


def scores_of(text: str) -> Scores:
    """A text's own scores, so that another's are noticed."""
    return Scores(risk=len(text) / 100, severity=None, windows=1, truncated=False)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path, 0, temporary=True)
    server.start()
    yield server
    server.stop()


@pytest.fixture
def worker(server: RedisServer) -> Worker:
    return Worker(server.url)


@pytest.fixture
def direct(server: RedisServer) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(server.url) as client:
        yield client


def test_workers_share_what_they_read(server: RedisServer, worker: Worker) -> None:
    worker.remember("abc")
    other = Worker(server.url, entries=10)
    assert other.cache.lookup(["abc", "abc", "d"]) == [scores_of("abc"), scores_of("abc"), None]
    assert (other.told["redis"], other.told["miss"], other.told["local"]) == (2, 1, 0)
    assert other.knows("abc")
    assert other.told["local"] == 1


def test_entries_expire_and_hold_no_text(worker: Worker, direct: redis.Redis) -> None:
    text = "nobody else may read this"
    worker.remember(text)
    (key,) = direct.keys()
    assert key == cache_key(SECRET, BUNDLE, text)
    assert 0 < direct.ttl(key) <= 60
    value = direct.get(key)
    assert isinstance(value, bytes)
    assert text.encode() not in key + value


def test_a_killed_redis_costs_misses_and_a_restarted_one_is_used_again(
    server: RedisServer, worker: Worker
) -> None:
    worker.remember("abc")
    server.kill()
    for _ in range(LIMIT):
        assert not worker.knows("abc")
    assert worker.circuit.is_open
    assert worker.told["opened"] == 1
    errors = worker.told["error"]
    worker.remember("abc")
    assert not worker.knows("abc")
    assert worker.told["error"] == errors  # not asked
    assert worker.told["skipped"] == 2
    worker.now += COOL_DOWN
    assert not worker.knows("abc")  # the probe fails
    server.start()
    worker.now += 2 * COOL_DOWN
    worker.remember("abc")  # the probe succeeds
    assert worker.told["closed"] == 1
    assert worker.knows("abc")


def test_a_connection_cut_between_calls_costs_one_miss(
    server: RedisServer, worker: Worker, direct: redis.Redis
) -> None:
    del server
    worker.remember("abc")
    direct.client_kill_filter(_type="normal", skipme=True)
    worker.knows("abc")
    assert worker.knows("abc")
    assert worker.told["error"] <= 1
    assert not worker.circuit.is_open


def test_a_hanging_redis_is_bounded_and_its_late_replies_are_never_mixed_up(
    server: RedisServer, worker: Worker
) -> None:
    for text in ("a", "bb", "ccc"):
        worker.remember(text)
    os.kill(server.pid, signal.SIGSTOP)
    started = time.monotonic()
    for text in ("a", "bb", "ccc") * 20:
        assert not worker.knows(text)
    elapsed = time.monotonic() - started
    assert elapsed < 1.0  # three calls wait 50 ms each, and the other 57 are not made
    os.kill(server.pid, signal.SIGCONT)
    worker.now += COOL_DOWN
    for text in ("ccc", "bb", "a") * 5:
        assert worker.knows(text)  # and `knows` checks whose scores they are


def test_a_redis_that_answers_drop_by_drop_keeps_nobody_waiting_and_opens_the_circuit() -> None:
    def drip(listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listener.accept()
                with connection:
                    connection.recv(65536)
                    for byte in b"*1\r\n$32\r\n" + b"x" * 32 + b"\r\n":
                        connection.sendall(bytes([byte]))
                        time.sleep(0.04)  # each within a socket's timeout

    with socket.create_server((HOST, 0)) as listener:
        thread = threading.Thread(target=drip, args=(listener,), daemon=True)
        thread.start()
        worker = Worker(f"redis://{HOST}:{listener.getsockname()[1]}")
        started = time.monotonic()
        for _ in range(LIMIT):
            assert not worker.knows("abc")
        assert time.monotonic() - started < 1.2  # without a deadline one answer alone takes 1.7 s
        assert worker.circuit.is_open
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(5)


def test_poisoned_values_are_misses(worker: Worker, direct: redis.Redis) -> None:
    worker.remember("abc")
    key, other = cache_key(SECRET, BUNDLE, "abc"), cache_key(SECRET, BUNDLE, "another text")
    good = direct.get(key)
    assert isinstance(good, bytes)
    zero_risk = Scores(risk=0.0, severity=None, windows=1, truncated=False)
    poisons = [
        b"",
        good[:-1],
        good[::-1],
        b"\xff" * 200,
        msgspec.msgpack.encode(zero_risk),
        seal(b"a guessed secret", key, zero_risk),
        seal(SECRET, other, zero_risk),
        seal(SECRET, key, Scores(float("nan"), None, 1, truncated=False)),
        seal(SECRET, key, Scores(7.0, None, 1, truncated=False)),
    ]
    for poison in poisons:
        direct.set(key, poison)
        assert worker.cache.lookup(["abc"]) == [None]
    direct.delete(key)
    direct.rpush(key, "a list, not a string")
    assert worker.cache.lookup(["abc"]) == [None]
    worker.remember("abc")
    assert worker.knows("abc")
    assert worker.told["error"] == 0


def test_a_wrong_password_costs_misses_until_it_is_right(server: RedisServer) -> None:
    worker = Worker(server.url.replace("redis://", "redis://:right@"))
    server.stop()
    server.start("--requirepass", "wrong")
    for _ in range(LIMIT):
        assert not worker.knows("abc")
    assert worker.circuit.is_open
    with pytest.raises(SettingsError, match="AuthenticationError") as caught:
        ping(server.url.replace("redis://", "redis://:right@"))
    assert "right" not in str(caught.value)
    server.stop()
    server.start("--requirepass", "right")
    worker.now += COOL_DOWN
    worker.remember("abc")
    assert worker.knows("abc")


def test_a_redis_that_refuses_writes_still_serves_reads(worker: Worker, direct: redis.Redis) -> None:
    worker.remember("abc")
    direct.config_set("maxmemory-policy", "noeviction")
    direct.config_set("maxmemory", "1")
    for number in range(2 * LIMIT):
        worker.remember(f"more {number}")
    assert worker.told["error"] == 2 * LIMIT
    assert not worker.circuit.is_open
    assert worker.knows("abc")


def test_an_absent_redis_is_told_by_ping_and_by_nothing_else() -> None:
    worker = Worker("redis://127.0.0.1:1/0", entries=10)
    worker.remember("abc")
    assert worker.knows("abc")  # in process
    with pytest.raises(SettingsError, match="Redis does not answer"):
        ping("redis://127.0.0.1:1/0")


def test_ping_tells_the_version(server: RedisServer) -> None:
    assert ping(server.url)[0].isdigit()
