"""The desk's settings: closed, checked at start, and silent about secrets."""

import ssl
from pathlib import Path

import pytest

from review.errors import DeskError
from review.settings import load_settings


def test_defaults_listen_on_loopback_only() -> None:
    settings = load_settings()
    assert settings.host == "127.0.0.1"
    assert settings.allowed_hosts == {"localhost", "127.0.0.1", "[::1]"}
    assert settings.cases_topic == "mimamori.review-cases"
    assert settings.decisions_topic == "mimamori.review-decisions"
    assert settings.ssl_context() is None


def test_hosts_are_a_comma_separated_list(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MIMAMORI_REVIEW_ALLOWED_HOSTS", "Desk.example, localhost,")
    assert load_settings().allowed_hosts == {"desk.example", "localhost"}


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("PORT", "many", "MIMAMORI_REVIEW_PORT"),
        ("STORE", "sqlite", "MIMAMORI_REVIEW_STORE"),
        ("KEEP_MARKERS_DAYS", "0", "MIMAMORI_REVIEW_KEEP_MARKERS_DAYS"),
        ("TOPIC_PREFIX", "a b.", "MIMAMORI_REVIEW_TOPIC_PREFIX"),
        ("TOPIC_PREFFIX", "x", "no such setting: MIMAMORI_REVIEW_TOPIC_PREFFIX"),
        ("SECURITY_PROTOCOL", "SASL_SSL", "needs sasl_username, and sasl_password"),
        ("SSL_CA", "ca.pem", "PLAINTEXT does not use ssl_ca: .* MIMAMORI_REVIEW_SECURITY_PROTOCOL to SSL"),
        ("SASL_PASSWORD", "correct-horse", "does not use sasl_password: .* to SASL_SSL"),
        ("ALLOW_INSECURE", "everything", "MIMAMORI_REVIEW_ALLOW_INSECURE"),
        ("LEASE_SECONDS", "inf", "MIMAMORI_REVIEW_LEASE_SECONDS must be at most ten years"),
        ("LEAST_SEVERE_MINUTES", "1e300", "MIMAMORI_REVIEW_LEAST_SEVERE_MINUTES must be at most ten years"),
    ],
)
def test_a_wrong_setting_is_named(name: str, value: str, says: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"MIMAMORI_REVIEW_{name}", value)
    with pytest.raises(DeskError, match=says):
        load_settings()


TLS = {"TLS_CERTIFICATE": "cert.pem", "TLS_KEY": "key.pem"}
OIDC = {
    "ACCESS": "oidc",
    "PUBLIC_URL": "https://desk.example",
    "OIDC_ISSUER": "https://login.example",
    "OIDC_CLIENT_ID": "desk",
    "HOST": "0.0.0.0",  # noqa: S104 - what a container needs
}
PROXY = {
    "ACCESS": "proxy",
    "PUBLIC_URL": "https://desk.example",
    "PROXY_ISSUER": "https://cloud.example",
    "PROXY_AUDIENCE": "desk",
    "PROXY_KEYS_URL": "https://cloud.example/keys",
    "HOST": "::",
}


@pytest.mark.parametrize("given", [OIDC, PROXY])
def test_whoever_is_identified_may_come_from_elsewhere(
    given: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in given.items():
        monkeypatch.setenv(f"MIMAMORI_REVIEW_{name}", value)
    settings = load_settings()
    assert settings.https
    assert settings.hosts == {"localhost", "127.0.0.1", "[::1]", "desk.example"}


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"HOST": "0.0.0.0"}, "access is local.* host is 0.0.0.0.*_ACCESS to oidc or proxy"),  # noqa: S104
        ({"HOST": ""}, "access is local"),
        ({"HOST": "::"}, "access is local"),
        ({"HOST": "192.0.2.7"}, "access is local"),
        ({"HOST": "desk.example"}, "access is local"),
        ({"ROLE_LEAD": "staff"}, "access local does not use role_lead"),
        ({"OIDC_ISSUER": "https://login.example"}, "access local does not use oidc_issuer"),
        (OIDC | {"OIDC_CLIENT_ID": ""}, "access oidc needs oidc_client_id"),
        ({name: value for name, value in OIDC.items() if name != "PUBLIC_URL"}, "needs public_url"),
        (OIDC | {"PUBLIC_URL": "http://desk.example"}, "public_url must begin with https://"),
        (OIDC | {"TLS_CERTIFICATE": "cert.pem"}, "tls_certificate and tls_key go together"),
        (
            OIDC | TLS | {"PUBLIC_URL": "http://127.0.0.1:6066"},
            "public_url must begin with https://, since tls_certificate is set",
        ),
        (OIDC | {"PUBLIC_URL": "desk.example"}, "public_url must be an address"),
        (OIDC | {"PUBLIC_URL": "https://tools.example/desk"}, "public_url has a path"),
        (OIDC | {"OIDC_ISSUER": "http://login.example"}, "oidc_issuer must begin with https://"),
        (OIDC | {"OIDC_SCOPES": "profile"}, "oidc_scopes must name openid"),
        (OIDC | {"PROXY_AUDIENCE": "desk"}, "access oidc does not use proxy_audience"),
        (PROXY | {"PROXY_AUDIENCE": ""}, "access proxy needs proxy_audience"),
        (PROXY | {"PROXY_KEYS_URL": "http://cloud.example/keys"}, "proxy_keys_url must begin with https://"),
        (PROXY | {"OIDC_CLIENT_SECRET": "x"}, "access proxy does not use oidc_client_secret"),
    ],
)
def test_a_desk_that_would_let_anybody_in_does_not_start(
    given: dict[str, str], says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in given.items():
        monkeypatch.setenv(f"MIMAMORI_REVIEW_{name}", value)
    with pytest.raises(DeskError, match=says):
        load_settings()


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "::1", "localhost"])
def test_loopback_has_many_names(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MIMAMORI_REVIEW_HOST", host)
    assert load_settings().host == host


def test_local_access_beyond_loopback_must_be_allowed_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MIMAMORI_REVIEW_HOST", "0.0.0.0")  # noqa: S104
    monkeypatch.setenv("MIMAMORI_REVIEW_ALLOW_INSECURE", "local_access")
    assert load_settings().access == "local"


def test_a_secret_is_never_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MIMAMORI_REVIEW_SECURITY_PROTOCOL", "SASL_SSL")
    monkeypatch.setenv("MIMAMORI_REVIEW_SASL_USERNAME", "ana")
    monkeypatch.setenv("MIMAMORI_REVIEW_SASL_PASSWORD", "correct-horse")
    assert "correct-horse" not in repr(load_settings())
    monkeypatch.setenv("MIMAMORI_REVIEW_PORT", "many")
    with pytest.raises(DeskError) as caught:
        load_settings()
    assert "correct-horse" not in str(caught.value)


def test_tls_is_on_for_both_protocols_that_have_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MIMAMORI_REVIEW_SECURITY_PROTOCOL", "SSL")
    context = load_settings().ssl_context()
    assert context is not None
    assert context.verify_mode is ssl.CERT_REQUIRED
    monkeypatch.setenv("MIMAMORI_REVIEW_SSL_CA", str(Path(__file__).parent / "nowhere.pem"))
    with pytest.raises(DeskError, match=r"MIMAMORI_REVIEW_SSL_CA: there is no file .*nowhere\.pem"):
        load_settings()


def test_a_certificate_needs_its_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MIMAMORI_REVIEW_SECURITY_PROTOCOL", "SSL")
    monkeypatch.setenv("MIMAMORI_REVIEW_SSL_KEY", "key.pem")
    with pytest.raises(DeskError, match="go together"):
        load_settings()


def test_credentials_go_in_plain_text_to_this_machine_alone_unless_forced(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MIMAMORI_REVIEW_SECURITY_PROTOCOL", "SASL_PLAINTEXT")
    monkeypatch.setenv("MIMAMORI_REVIEW_SASL_USERNAME", "ana")
    monkeypatch.setenv("MIMAMORI_REVIEW_SASL_PASSWORD", "correct-horse")
    for here in ("localhost:9092", "127.0.0.1:9092,[::1]:9092"):
        monkeypatch.setenv("MIMAMORI_REVIEW_BOOTSTRAP", here)
        load_settings()
    monkeypatch.setenv("MIMAMORI_REVIEW_BOOTSTRAP", "127.0.0.1:9092,kafka:9092")
    with pytest.raises(DeskError, match="sasl_plaintext in MIMAMORI_REVIEW_ALLOW_INSECURE"):
        load_settings()
    monkeypatch.setenv("MIMAMORI_REVIEW_ALLOW_INSECURE", "plaintext_kafka")
    with pytest.raises(DeskError, match="sasl_plaintext in MIMAMORI_REVIEW_ALLOW_INSECURE"):
        load_settings()
    monkeypatch.setenv("MIMAMORI_REVIEW_ALLOW_INSECURE", "sasl_plaintext")
    load_settings()


def test_texts_go_in_plain_text_to_this_machine_alone_unless_forced(monkeypatch: pytest.MonkeyPatch) -> None:
    load_settings()  # the default is this machine's broker
    monkeypatch.setenv("MIMAMORI_REVIEW_BOOTSTRAP", "127.0.0.1:9092,kafka:9092")
    monkeypatch.setenv("MIMAMORI_REVIEW_ALLOW_INSECURE", "sasl_plaintext")
    with pytest.raises(DeskError, match="plaintext_kafka in MIMAMORI_REVIEW_ALLOW_INSECURE"):
        load_settings()
    monkeypatch.setenv("MIMAMORI_REVIEW_ALLOW_INSECURE", "plaintext_kafka")
    load_settings()
    monkeypatch.delenv("MIMAMORI_REVIEW_ALLOW_INSECURE")
    monkeypatch.setenv("MIMAMORI_REVIEW_SECURITY_PROTOCOL", "SSL")
    load_settings()
