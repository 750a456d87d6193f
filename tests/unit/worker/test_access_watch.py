"""What is renewed on disk while a worker runs: taken at once where librdkafka can, else by a start anew."""

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import confluent_kafka as ck
import pytest
import structlog
from typer.testing import CliRunner

from mimamori.cli import app
from mimamori.cli.run import RENEW
from mimamori.sandbox.certificates import Authority
from tests.fakes.tls_server import tls_server
from worker.kafka import client
from worker.kafka.access_watch import AccessWatch
from worker.kafka.refusals import REFUSALS
from worker.settings import Settings
from worker.telemetry.metrics import Metrics

EXPIRY = "mimamori_kafka_certificate_expiry_timestamp_seconds"


class Mounted:
    """A secret as Kubernetes mounts it: files are links into a folder, which is replaced as a whole."""

    def __init__(self, folder: Path, authority: Authority) -> None:
        self.folder = folder
        self.authority = authority
        self._count = 0
        self.put()

    def put(self, other: Mapping[str, bytes] = {}, lasts: timedelta = timedelta(days=30)) -> None:
        """Another certificate and password, or `other` contents of the files."""
        self._count += 1
        issued = self.authority.issue(f"ana-{self._count}", lasts=lasts)
        content = {"ca": self.authority.pem, "crt": issued.certificate, "key": issued.key}
        content |= {"password": b"password-%d" % self._count, **other}
        version = self.folder / f"..{self._count}"
        version.mkdir()
        for name, data in content.items():
            (version / name).write_bytes(data)
        fresh = self.folder / "..fresh"
        fresh.symlink_to(version.name)
        fresh.rename(self.folder / "..data")
        for name in content:
            if not (link := self.folder / name).is_symlink():
                link.symlink_to(f"..data/{name}")

    def settings(self, **more: Any) -> Settings:
        at = {"ssl_ca": "ca", "ssl_certificate": "crt", "ssl_key": "key", "sasl_password_file": "password"}
        named: dict[str, Any] = {setting: self.folder / name for setting, name in at.items()}
        login = {"security_protocol": "SASL_SSL", "sasl_mechanism": "SCRAM-SHA-512", "sasl_username": "ana"}
        return Settings(**({"bootstrap": "127.0.0.1:1"} | login | named | more))


class Watched:
    """A watch whose time a test sets, and what it has said and done."""

    def __init__(self, settings: Settings, drawn: float = 0.5) -> None:
        self.now = datetime.now(UTC).timestamp()
        self.metrics = Metrics()
        self.ended = 0
        self.watch = AccessWatch(
            settings, self.metrics, self._end, clock=lambda: self.now, draw=lambda: drawn
        )

    def look(self, after_s: float = 5) -> list[dict[str, Any]]:
        self.now += after_s
        with structlog.testing.capture_logs() as logs:
            self.watch.look()
        return [dict(line) for line in logs]

    def _end(self) -> None:
        self.ended += 1


@pytest.fixture
def mounted(tmp_path: Path) -> Mounted:
    return Mounted(tmp_path, Authority.make())


@pytest.fixture(autouse=True)
def _no_passwords_are_kept() -> Iterator[None]:
    REFUSALS.taken()
    yield
    client._renewed.clear()


def test_nothing_renewed_is_nothing_done(mounted: Mounted) -> None:
    watched = Watched(mounted.settings())
    assert watched.look() == []
    assert (watched.ended, watched.watch.renewed) == (0, False)


def test_a_new_password_reaches_the_clients_that_live_and_those_to_come(
    mounted: Mounted, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = mounted.settings()
    config, watched = settings.client_config, Watched(settings)
    given: list[tuple[str, str]] = []
    living = client.make(ck.Producer, config)
    monkeypatch.setattr(
        type(living), "set_sasl_credentials", lambda _, user, password: given.append((user, password))
    )
    (mounted.folder / "..data" / "password").write_text("another\n")
    (said,) = watched.look()
    assert said["event"] == "kafka_password_renewed"
    assert ("ana", "another") in given
    assert config["sasl.password"] == "password-1"
    made: list[dict[str, Any]] = []
    client._made(made.append, config)
    assert made[0]["sasl.password"] == "another"
    assert watched.ended == 0


def test_a_new_certificate_ends_the_worker_within_its_time_and_once(mounted: Mounted) -> None:
    watched = Watched(mounted.settings(renew_within_s=100), drawn=0.5)
    mounted.put()
    said = watched.look()
    assert {line["event"] for line in said} == {"kafka_password_renewed", "kafka_certificate_renewed"}
    watched.look(44)
    assert watched.ended == 0
    watched.look(6)
    watched.look(6)
    assert (watched.ended, watched.watch.renewed) == (1, True)


def test_it_ends_before_the_old_certificate_does(mounted: Mounted) -> None:
    mounted.put(lasts=timedelta(seconds=90))
    watched = Watched(mounted.settings(renew_within_s=3600), drawn=1)
    mounted.put()
    watched.look(1)
    watched.look(30)
    assert watched.ended == 1


@pytest.mark.parametrize(
    ("other", "says"),
    [
        ({"crt": b"none\n"}, "MIMAMORI_SSL_CERTIFICATE: .*crt holds no certificate"),
        ({"key": b"none\n"}, "MIMAMORI_SSL_KEY: .*key holds no private key"),
        ({"ca": b""}, "MIMAMORI_SSL_CA: .*ca is empty"),
        ({"password": b""}, "MIMAMORI_SASL_PASSWORD_FILE: .*password is empty"),
    ],
)
def test_what_is_broken_is_told_once_and_not_taken(
    other: dict[str, bytes], says: str, mounted: Mounted
) -> None:
    watched = Watched(mounted.settings(renew_within_s=0))
    mounted.put(other)
    said = [line for line in watched.look() if line["log_level"] == "error"]
    assert [line["event"] for line in said] == ["kafka_secret_not_renewed"]
    assert re.match(says, said[0]["error"])
    assert [line for line in watched.look() if line["log_level"] == "error"] == []
    assert watched.ended == 0
    mounted.put()
    watched.look()
    watched.look()
    assert watched.ended == 1


def test_a_certificate_or_authority_that_kafka_refuses_ends_no_worker(
    mounted: Mounted, tmp_path: Path
) -> None:
    """Every worker would end within minutes, and none could start again, while the old one still holds."""
    stranger, broker = Authority.make("somebody else"), mounted.authority.issue("broker", hosts=["127.0.0.1"])
    issued = stranger.issue("ana")
    with tls_server(tmp_path, broker, mounted.authority) as address:
        given = {"renew_within_s": 0, "bootstrap": address}
        watched = Watched(mounted.settings(**given))
        careless = Watched(mounted.settings(**given, allow_insecure=["unverified_broker"]))
        mounted.put({"crt": issued.certificate, "key": issued.key})
        (said,) = [line for line in watched.look() if line["log_level"] == "error"]
        assert said["event"] == "kafka_secret_not_renewed"
        mounted.put({"ca": stranger.pem})
        watched.look()
        assert watched.ended == 0
        careless.look()
        assert careless.ended == 1, "what is not checked is no reason"
        mounted.put()
        watched.look()
        assert watched.ended == 1


def test_one_that_has_expired_is_not_taken(mounted: Mounted) -> None:
    watched = Watched(mounted.settings(renew_within_s=0))
    mounted.put(lasts=timedelta(days=-1))
    assert "kafka_secret_not_renewed" in {line["event"] for line in watched.look()}
    assert watched.ended == 0


def test_a_certificate_that_ends_is_told_before_and_when_it_does(mounted: Mounted) -> None:
    watched = Watched(mounted.settings())
    with watched.watch:
        ends = watched.metrics.registry.get_sample_value(EXPIRY)
    assert ends is not None
    assert abs(ends - watched.now - 30 * 86_400) < 60
    events = [[line["event"] for line in watched.look(days * 86_400)] for days in (20, 4, 1, 6)]
    assert events == [[], ["kafka_certificate_ends_soon"], [], ["kafka_certificate_expired"]]


def test_what_kafka_has_against_it_is_counted_and_logged_once_a_minute() -> None:
    watched = Watched(Settings())
    error = ck.KafkaError(
        ck.KafkaError._AUTHENTICATION,
        "sasl_ssl://broker.example:9093/1: SASL authentication error: Authentication failed (after 3ms)",
    )
    with structlog.testing.capture_logs() as logs:
        for _ in range(3):
            client.log_error(error)
    (line,) = logs
    assert line["log_level"] == "error"
    assert line["advice"].startswith("Kafka at broker.example:9093 does not know the user")
    watched.look()
    counted = watched.metrics.registry.get_sample_value(
        "mimamori_kafka_refusals_total", {"reason": "credentials"}
    )
    assert counted == 3


def test_the_command_says_by_its_exit_code_that_it_is_to_be_started_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Renewed:
        class app:  # noqa: N801 - an attribute of a worker
            ended_to_renew = True
            stop = staticmethod(lambda: None)

        def run(self) -> None:
            """It has ended at once."""

    monkeypatch.setattr("worker.startup.start", lambda _: Renewed())
    monkeypatch.setattr("worker.startup.settle_memory", lambda: None)
    monkeypatch.setattr("signal.signal", lambda *_: None)
    assert CliRunner().invoke(app, ["run"]).exit_code == RENEW == 75
