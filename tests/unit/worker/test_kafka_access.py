"""One set of settings gets worker and desk into Kafka; what is wrong is said in one line without a secret."""

import asyncio
import base64
import json
import ssl
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from datetime import timedelta
from pathlib import Path
from typing import Any

import confluent_kafka as ck
import pytest
from typer.testing import CliRunner

from engine.errors import FatalError, SettingsError
from mimamori.cli import app
from mimamori.sandbox.certificates import Authority
from review.errors import DeskError
from review.kafka.cluster import inspect
from review.kafka.refusal import why_not as why_not_the_desk
from review.settings import ReviewSettings
from review.settings import load_settings as load_desk
from schemas.access import TokenFile
from schemas.refusals import reason_of
from tests.fakes.tls_server import serving, tls_server
from worker.kafka.client import make, make_admin, reach, why_not
from worker.settings import Settings
from worker.settings_source import load_settings as load_worker

SECRET = "correct-horse-battery"  # noqa: S105 - to be looked for
LOGIN = {"security_protocol": "SASL_SSL", "sasl_username": "ana"}
LOADERS: dict[str, Callable[[], Settings | ReviewSettings]] = {
    "MIMAMORI_": load_worker,
    "MIMAMORI_REVIEW_": load_desk,
}


def a_token(**claims: Any) -> str:
    return ".".join(
        base64.urlsafe_b64encode(part).rstrip(b"=").decode()
        for part in (b"{}", json.dumps({"sub": "ana", "exp": time.time() + 300} | claims).encode(), b"signed")
    )


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority.make()


@pytest.fixture
def folder(tmp_path: Path, authority: Authority) -> Path:
    (tmp_path / "ca.pem").write_bytes(authority.pem)
    (tmp_path / "password").write_text(SECRET + "\n")
    (tmp_path / "token").write_text(a_token())
    authority.issue("ana", passphrase=SECRET.encode()).write(tmp_path / "crt", tmp_path / "key")
    return tmp_path


@pytest.fixture
def in_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(folder)
    return folder


MUTUAL = {
    "security_protocol": "SSL",
    "ssl_ca": "ca.pem",
    "ssl_certificate": "crt",
    "ssl_key": "key",
    "ssl_key_password_file": "password",
}
TOKEN: dict[str, Any] = {"security_protocol": "SASL_SSL", "sasl_mechanism": "OAUTHBEARER"}


@pytest.mark.parametrize(
    ("given", "options"),
    [
        (MUTUAL, {"ssl.certificate.location": "crt", "ssl.key.location": "key", "ssl.key.password": SECRET}),
        (
            {**LOGIN, "sasl_mechanism": "SCRAM-SHA-512", "sasl_password_file": "password"},
            {"sasl.mechanism": "SCRAM-SHA-512", "sasl.username": "ana", "sasl.password": SECRET},
        ),
        ({**LOGIN, "sasl_password": SECRET}, {"sasl.mechanism": "PLAIN", "sasl.password": SECRET}),
        (
            {
                **TOKEN,
                "sasl_token_url": "https://login.example/token",
                "sasl_username": "ana",
                "sasl_password_file": "password",
                "sasl_token_scope": "kafka",
                "sasl_token_ca": "ca.pem",
            },
            {
                "sasl.oauthbearer.method": "oidc",
                "sasl.oauthbearer.token.endpoint.url": "https://login.example/token",
                "sasl.oauthbearer.client.secret": SECRET,
                "https.ca.location": "ca.pem",
            },
        ),
    ],
)
@pytest.mark.usefixtures("in_folder")
def test_the_settings_are_those_of_the_client(given: dict[str, Any], options: dict[str, Any]) -> None:
    config = Settings(bootstrap="broker.example:1", **given).client_config
    assert options.items() <= config.items()
    make_admin({**config, "bootstrap.servers": "127.0.0.1:1"})  # librdkafka takes every one of them


@pytest.mark.parametrize("prefix", LOADERS)
@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({**MUTUAL, "ssl_ca": "none.pem"}, "{p}SSL_CA: there is no file none.pem"),
        ({**MUTUAL, "ssl_key": "ca.pem"}, "{p}SSL_KEY: ca.pem holds no private key"),
        (
            {**MUTUAL, "ssl_key_password_file": "token"},
            "{p}SSL_KEY: key holds no private key as PEM that this",
        ),
        (MUTUAL | {"ssl_key_password_file": "none"}, "{p}SSL_KEY_PASSWORD_FILE: there is no file none"),
        ({"security_protocol": "SSL", "ssl_key": "key"}, "ssl_certificate and ssl_key go together"),
        ({"security_protocol": "SSL", "ssl_key_password": SECRET}, "ssl_key_password needs ssl_key"),
        ({"ssl_key_password_file": "password"}, "PLAINTEXT does not use ssl_key_password_file"),
        (LOGIN, "SASL_SSL needs sasl_username, and sasl_password or sasl_password_file"),
        ({**LOGIN, "sasl_password": SECRET, "sasl_password_file": "password"}, "are both set: leave one out"),
        ({**LOGIN, "sasl_password_file": "none"}, "{p}SASL_PASSWORD_FILE: there is no file none"),
        ({**LOGIN, "sasl_password": SECRET, "sasl_token_file": "token"}, "PLAIN takes no token"),
        (TOKEN, "OAUTHBEARER needs sasl_token_file, or else sasl_token_url"),
        ({**TOKEN, "sasl_token_file": "token", "sasl_password": SECRET}, "needs no sasl_password"),
        ({**TOKEN, "sasl_token_file": "old"}, "{p}SASL_TOKEN_FILE: the token in old has expired"),
        ({**TOKEN, "sasl_token_url": "https://a.example"}, "sasl_token_url needs sasl_username"),
        (
            {**TOKEN, "sasl_token_url": "http://a.example", "sasl_username": "a", "sasl_password": SECRET},
            "sasl_token_url sends the secret in plain text",
        ),
        (  # without a scheme, clients take http
            {**TOKEN, "sasl_token_url": "a.example/token", "sasl_username": "a", "sasl_password": SECRET},
            "sasl_token_url sends the secret in plain text",
        ),
        (
            {
                **TOKEN,
                "sasl_token_url": "https://a:b@a.example",
                "sasl_username": "a",
                "sasl_password": SECRET,
            },
            "sasl_token_url must hold no credentials",
        ),
        (
            {**LOGIN, "sasl_password": SECRET, "security_protocol": "SASL_PLAINTEXT"},
            "name sasl_plaintext in {p}ALLOW_INSECURE",
        ),
    ],
)
def test_what_cannot_be_is_refused_in_one_line_without_a_secret(
    given: dict[str, str], says: str, prefix: str, in_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (in_folder / "old").write_text(a_token(exp=1))
    for name, value in {"bootstrap": "broker.example:9093", **given}.items():
        monkeypatch.setenv(prefix + name.upper(), value)
    with pytest.raises((SettingsError, DeskError)) as fault:
        LOADERS[prefix]()
    said = str(fault.value)
    assert says.format(p=prefix) in said
    assert "\n" not in said
    assert SECRET not in said
    assert a_token() not in said


@pytest.mark.usefixtures("in_folder")
def test_what_is_set_twice_is_refused() -> None:
    with pytest.raises(SettingsError, match=r"MIMAMORI_KAFKA sets security.protocol, ssl.ca.location"):
        load_worker(**MUTUAL, kafka={"security.protocol": "SSL", "ssl.ca.location": "ca.pem"})


def test_a_refusal_ends_every_command_with_its_line_and_no_secret_is_shown(
    in_folder: Path, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = {**LOGIN, "ssl_ca": "ca.pem", "ssl_certificate": "crt", "ssl_key": "key"}
    secrets = {"sasl_password": SECRET, "ssl_key_password": SECRET, "connect_seconds": "1"}
    monkeypatch.setenv("MIMAMORI_BUNDLE", str(in_folder))
    shown = {}
    with faulty("host", in_folder, authority) as address:
        for prefix, load in LOADERS.items():
            for name, value in {**given, **secrets, "bootstrap": address}.items():
                if name != "connect_seconds" or load is load_desk:
                    monkeypatch.setenv(prefix + name.upper(), value)
        for command in ("doctor --settings", "topics list"):
            done = CliRunner().invoke(app, command.split())
            shown[command] = done.output + str(done.exception)
        with pytest.raises(DeskError) as refusal:
            asyncio.run(inspect(load_desk()))
        shown["review"] = str(refusal.value)
    for said in shown.values():
        assert "another host name: write into MIMAMORI_" in " ".join(said.split())
    settings: list[Any] = [load_worker(), load_desk()]
    shown["repr"] = "".join(f"{each!r} {each} {each.tls_files()!r}" for each in settings)
    assert "sasl_password" in shown["repr"]
    assert SECRET not in "".join(shown.values())


def faulty(name: str, folder: Path, authority: Authority) -> AbstractContextManager[str]:
    stranger, here = Authority.make("somebody else"), ["127.0.0.1"]
    if name == "none":
        return serving(None)
    if name == "down":
        return nullcontext("127.0.0.1:1")
    shown = {
        "authority": stranger.issue("broker", hosts=here),
        "host": authority.issue("broker", hosts=["broker.example"]),
        "expired": authority.issue("broker", hosts=here, lasts=timedelta(days=-1)),
    }
    good = authority.issue("broker", hosts=here)
    clients = {"client": stranger, "good": authority}
    return tls_server(folder, shown.get(name, good), clients_of=clients.get(name))


FAULTS = [
    (
        "authority",
        {},
        "an authority that this client does not know: name the file with the brokers' authority in {p}SSL_CA",
    ),
    ("host", {}, "a certificate for another host name: write into {p}BOOTSTRAP"),
    ("expired", {}, "a certificate that has expired"),
    ("client", {}, "refuses this client's certificate: {p}SSL_CERTIFICATE must be issued by"),
    (
        "good",
        {"ssl_certificate": None, "ssl_key": None, "ssl_key_password_file": None},
        "refuses this client's",
    ),
    ("none", {}, "does not seem to speak TLS: set {p}BOOTSTRAP"),
    (
        "good",
        dict.fromkeys(MUTUAL) | {"security_protocol": "PLAINTEXT"},
        "speaks TLS: set {p}SECURITY_PROTOCOL",
    ),
    ("good", {}, None),
    ("down", {}, None),
]


@pytest.mark.parametrize(("server", "change", "says"), FAULTS)
def test_why_tls_fails_is_told_in_words(
    server: str, change: dict[str, Any], says: str | None, in_folder: Path, authority: Authority
) -> None:
    given = {name: value for name, value in (MUTUAL | change).items() if value is not None}
    with faulty(server, in_folder, authority) as address:
        said = {
            "MIMAMORI_": why_not(Settings(bootstrap=address, **given).client_config),
            "MIMAMORI_REVIEW_": asyncio.run(why_not_the_desk(ReviewSettings(bootstrap=address, **given))),
        }
    for prefix, line in said.items():
        if says is None:
            assert line is None
        else:
            assert line is not None
            assert line.startswith(f"Kafka at {address} ")
            assert says.format(p=prefix) in line


def test_nobody_there_stays_nobody_there() -> None:
    config = {"bootstrap.servers": "127.0.0.1:1"}
    with pytest.raises(ck.KafkaException):
        reach(make_admin(config), config, 0.2)


@pytest.mark.parametrize("client", [ck.Producer, ck.Consumer])
def test_a_token_that_is_gone_is_told_before_librdkafka_waits_for_it(client: Any, folder: Path) -> None:
    settings = Settings(**TOKEN, sasl_token_file=folder / "token")
    config = settings.client_config
    (folder / "token").unlink()
    with pytest.raises(FatalError, match=r"^MIMAMORI_SASL_TOKEN_FILE: there is no file .*token: mount it"):
        make(client, {**config, "group.id": "g"})


def test_librdkafka_reads_a_token_again_before_it_ends(folder: Path) -> None:
    """It does so by itself: nobody polls this client."""
    read: list[str] = []

    class Watched(TokenFile):
        def read(self) -> tuple[str, float]:
            token, ends = super().read()
            read.append(token)
            return token, ends

    first, second = a_token(exp=time.time() + 3), a_token(exp=time.time() + 600)
    (folder / "token").write_text(first)
    config = Settings(**TOKEN, sasl_token_file=folder / "token").client_config
    client = make_admin({**config, "oauth_cb": Watched(folder / "token"), "bootstrap.servers": "127.0.0.1:1"})
    (folder / "token").write_text(second)
    deadline = time.monotonic() + 20
    while second not in read:
        assert time.monotonic() < deadline, "the token was not read again"
        time.sleep(0.05)
    assert read[0] == first
    del client


# As the libraries said it on the Kafka of the sandbox.
SAID = {
    "SASL authentication error: Authentication failed during authentication due to invalid credentials with "
    "SASL mechanism SCRAM-SHA-512 (after 670ms in state AUTH_REQ)": "credentials",
    "SASL authentication error: Authentication failed: Invalid username or password": "credentials",
    "AuthenticationFailedError Authentication failed: Invalid username or password": "credentials",
    'SASL authentication error: {"status":"invalid_token"} (after 313ms in state AUTH_REQ)': "token",
    "SASL SCRAM-SHA-256 mechanism handshake failed: Broker: Unsupported SASL mechanism": "mechanism",
    "Failed to acquire SASL OAUTHBEARER token: Could not connect to server": "no_token",
    "SSL handshake failed: error:0A000086:SSL routines::certificate verify failed: broker certificate could "
    "not be verified": "not_verified",
    "Receive failed: error:0A000416:SSL routines::ssl/tls alert certificate unknown: SSL alert number 46": (
        "certificate_refused"
    ),
    "Receive failed: error:0A00045C:SSL routines::tlsv13 alert certificate required": "certificate_refused",
    "Disconnected: SSL connection closed by peer: connecting to a PLAINTEXT broker listener?": "no_tls",
    "Connect to ipv4#127.0.0.2:21496 failed: Connection refused (after 0ms in state CONNECT)": None,
    "1/1 brokers are down": None,
}


@pytest.mark.parametrize("said", SAID)
def test_what_the_libraries_say_is_understood(said: str) -> None:
    assert reason_of(said) == SAID[said]


def test_contexts_verify_host_and_certificate(folder: Path) -> None:
    settings = ReviewSettings(security_protocol="SSL", ssl_ca=folder / "ca.pem")
    context = settings.ssl_context()
    assert context is not None
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)
