"""The score cache behind Sentinels, on a cluster, through TLS and under an ACL: all of them real servers.

TLS ends in a small proxy, since the sandbox's Redis is built without it; the client's side is the real one.
"""

import contextlib
import functools
import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
import redis

from engine.errors import SettingsError
from engine.scores import Scores
from mimamori.sandbox.redis_server import RedisServer, find_redis
from mimamori.sandbox.server import HOST, Server, choose_port
from worker.cache.circuit import Circuit
from worker.cache.redis_client import RedisClient, ping
from worker.cache.score_cache import LocalCache, RedisCache

RIGHTS = "~mimamori:* +get +mget +set +ping +info"  # docs/how-to/secure-the-connections.md
USER = ["--user", "mimamori", "on", ">right", *RIGHTS.split()]
CLUSTERED = [
    "--cluster-enabled",
    "yes",
    "--cluster-node-timeout",
    "1000",
    *USER,
    "+cluster|slots",
    "+command",
]
SECRET = b"a secret of sixteen or more"
TEXTS = [f"message {number}" for number in range(100)]
SCORES = [Scores(number / 100, None, 1, truncated=False) for number in range(100)]


def cache_at(url: str, told: Counter[str], ca: Path | None = None) -> RedisCache:
    """A cache without an LRU, so that every lookup asks Redis, whose circuit never stays open for long."""

    def tell(event: str, count: int) -> None:
        told[event] += count

    local = LocalCache(SECRET, "fingerprint", 0, tell)
    circuit = Circuit(cool_down_s=0.05, longest_s=0.05)
    return RedisCache(local, RedisClient(url, ca), SECRET, 60, tell, circuit)


def wait_for(condition: Callable[[], bool], why: str) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, f"waited too long for {why}"
        time.sleep(0.05)


def refill(cache: RedisCache) -> bool:
    """Store and look up; whether all came back."""
    cache.store(TEXTS, SCORES)
    found = cache.lookup(TEXTS)
    assert all(one in (None, expected) for one, expected in zip(found, SCORES, strict=True))
    return found == SCORES


@contextlib.contextmanager
def servers(
    folder: Path, number: int, options: Callable[[RedisServer], Sequence[str]] = lambda _: ()
) -> Iterator[list[RedisServer]]:
    started = [RedisServer(folder / str(n), 0, temporary=True) for n in range(number)]
    try:
        for server in started:
            server.start(*options(server))
        yield started
    finally:
        for server in started:
            server.stop()


# Cluster


def clustered(node: RedisServer) -> list[str]:
    """Its bus has a port of its own: the default, 10,000 above, is one that clients may be given."""
    return [*CLUSTERED, "--cluster-port", str(bus_port(node.port))]


@functools.cache
def bus_port(_port: int) -> int:
    """Where the node on this port listens for the other nodes: a free port, and the same at each start."""
    return choose_port(0, "")


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[list[RedisServer]]:
    """Three nodes, a third of the slots each, without replicas."""
    with servers(tmp_path, 3, clustered) as nodes:
        clients = [redis.Redis.from_url(node.url) for node in nodes]
        edges = [0, 5461, 10923, 16384]
        for number, client in enumerate(clients):
            client.execute_command("CLUSTER ADDSLOTSRANGE", edges[number], edges[number + 1] - 1)
            client.execute_command("CLUSTER MEET", HOST, nodes[0].port, bus_port(nodes[0].port))

        def formed() -> bool:
            told = [client.execute_command("CLUSTER INFO") for client in clients]
            return all((one["cluster_state"], one["cluster_known_nodes"]) == ("ok", "3") for one in told)

        wait_for(formed, "the cluster to form")
        yield nodes
        for client in clients:
            client.close()


def keys_on(nodes: Sequence[RedisServer]) -> list[int]:
    counts = []
    for node in nodes:
        with redis.Redis.from_url(node.url) as client:
            counts.append(int(client.dbsize()))
    return counts


def test_a_cluster_keeps_scores_on_all_its_nodes_and_gives_them_back_in_order(
    cluster: list[RedisServer],
) -> None:
    told: Counter[str] = Counter()
    # The first is not there.
    cache = cache_at(f"redis+cluster://mimamori:right@{HOST}:1,{HOST}:{cluster[1].port}", told)
    cache.store(TEXTS, SCORES)
    assert cache.lookup([*reversed(TEXTS), "unknown"]) == [*reversed(SCORES), None]
    assert sum(keys_on(cluster)) == len(TEXTS)
    assert min(keys_on(cluster)) > 0
    assert told["error"] == 0
    assert ping(f"redis+cluster://{HOST}:{cluster[0].port}")[0].isdigit()


def test_a_node_of_a_cluster_that_dies_costs_misses_and_is_used_again(cluster: list[RedisServer]) -> None:
    told: Counter[str] = Counter()
    cache = cache_at("redis+cluster://" + ",".join(f"{HOST}:{node.port}" for node in cluster), told)
    assert refill(cache)
    cluster[0].kill()
    started = time.monotonic()
    for _ in range(5):
        assert not refill(cache)
    assert time.monotonic() - started < 5
    assert told["error"] > 0
    cluster[0].start(*clustered(cluster[0]))
    wait_for(lambda: refill(cache), "the cluster to be whole again")


def test_a_cluster_named_as_one_server_is_told_by_ping(cluster: list[RedisServer]) -> None:
    with pytest.raises(SettingsError, match=r"use redis\+cluster://"):
        ping(cluster[0].url)


# Sentinel


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[tuple[RedisServer, RedisServer, str]]:
    """A master, its replica, and the URL of the Sentinel that watches them."""
    with servers(tmp_path, 2) as (master, replica):
        with redis.Redis.from_url(replica.url) as client:
            client.replicaof(HOST, master.port)
        port = choose_port(0, "")
        file = tmp_path / "sentinel.conf"
        file.write_text(
            f"port {port}\nbind {HOST}\ndir {tmp_path}\n"
            f"sentinel monitor scores {HOST} {master.port} 1\n"
            "sentinel down-after-milliseconds scores 500\nsentinel failover-timeout scores 2000\n"
        )
        sentinel = Server("Sentinel", [find_redis(), file, "--sentinel"], tmp_path / "sentinel.log", None)
        try:
            with redis.Redis(host=HOST, port=port) as client:
                sentinel.await_ready(lambda: _has_replica(client), lambda log: log)
            yield master, replica, f"redis+sentinel://{HOST}:1,{HOST}:{port}/scores/0"
        finally:
            sentinel.stop()


def _has_replica(sentinel: redis.Redis) -> bool:
    try:
        return bool(sentinel.sentinel_slaves("scores"))
    except redis.RedisError:
        return False


def test_the_master_that_sentinels_name_is_used_and_after_it_dies_the_next(
    watched: tuple[RedisServer, RedisServer, str],
) -> None:
    master, replica, url = watched
    told: Counter[str] = Counter()
    cache = cache_at(url, told)
    assert refill(cache)
    assert told["error"] == 0
    assert ping(url)[0].isdigit()
    with redis.Redis.from_url(master.url, socket_timeout=None) as client:
        assert client.dbsize() == len(TEXTS)
        assert client.wait(1, 30_000) == 1, "a master waits 5 s for more replicas before it fills the first"
    master.kill()
    assert not refill(cache)
    wait_for(lambda: refill(cache), "the replica to be promoted")
    with redis.Redis.from_url(replica.url) as client:
        assert client.role()[0] == b"master"


def test_a_service_that_sentinels_do_not_know_is_told_by_ping(
    watched: tuple[RedisServer, RedisServer, str],
) -> None:
    *_, url = watched
    with pytest.raises(SettingsError, match="MasterNotFoundError"):
        ping(url.replace("/scores/", "/unknown/"))


# TLS and ACL


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A self-signed certificate for this machine, with its key in the same file."""
    if shutil.which("openssl") is None:
        pytest.skip("no openssl here to make a certificate with")
    pem, key = (tmp_path_factory.mktemp("tls") / name for name in ("server.pem", "key.pem"))
    subject = ["-subj", "/CN=redis", "-addext", f"subjectAltName=IP:{HOST}"]
    make = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *subject]
    subprocess.run([*make, "-out", pem, "-keyout", key], check=True, capture_output=True)
    pem.write_text(pem.read_text() + key.read_text())
    return pem


@contextlib.contextmanager
def tls_before(server: RedisServer, certificate: Path) -> Iterator[int]:
    """A port where TLS ends; what comes is passed on to `server`."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)

    def copy(source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError), source, sink:
            while chunk := source.recv(65536):
                sink.sendall(chunk)

    def serve(listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                plain, _ = listener.accept()
                with contextlib.suppress(ssl.SSLError):  # whoever does not trust the certificate
                    inside = context.wrap_socket(plain, server_side=True)
                    outside = socket.create_connection((HOST, server.port))
                    for pair in ((inside, outside), (outside, inside)):
                        threading.Thread(target=copy, args=pair, daemon=True).start()

    with socket.create_server((HOST, 0)) as listener:
        thread = threading.Thread(target=serve, args=(listener,), daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(5)


def test_tls_with_an_authority_of_ones_own_and_an_acl_user(tmp_path: Path, certificate: Path) -> None:
    with servers(tmp_path, 1, lambda _: USER) as (server,), tls_before(server, certificate) as port:
        told: Counter[str] = Counter()
        url = f"rediss://mimamori:right@{HOST}:{port}/0?socket_timeout=0.5&socket_connect_timeout=0.5"
        assert refill(cache_at(url, told, certificate))
        assert told["error"] == 0
        assert ping(url, certificate)[0].isdigit()
        with pytest.raises(SettingsError, match="Redis does not answer"):  # an authority nobody named
            ping(url)
        with pytest.raises(SettingsError, match="AuthenticationError") as refusal:
            ping(url.replace("right", "wrong"), certificate)
        assert "wrong" not in str(refusal.value)
        with redis.Redis.from_url(server.url) as client:
            assert client.dbsize() == len(TEXTS)


def test_an_acl_that_forbids_our_keys_costs_misses_and_keeps_the_circuit_closed(tmp_path: Path) -> None:
    other = ["--user", "mimamori", "on", ">right", "~other:*", "+@all"]
    with servers(tmp_path, 1, lambda _: other) as (server,):
        told: Counter[str] = Counter()
        cache = cache_at(server.url.replace("redis://", "redis://mimamori:right@"), told)
        for _ in range(5):
            assert not refill(cache)
        assert told["error"] == 10
        assert told["opened"] == 0
