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
        ("TOPIC_PREFFIX", "x", "no such setting: MIMAMORI_REVIEW_TOPIC_PREFFIX"),
        ("SECURITY_PROTOCOL", "SASL_SSL", "needs sasl_username and sasl_password"),
        ("SSL_CA", "ca.pem", "PLAINTEXT does not use ssl_ca: .* MIMAMORI_REVIEW_SECURITY_PROTOCOL to SSL"),
        ("SASL_PASSWORD", "correct-horse", "does not use sasl_password: .* to SASL_SSL"),
        ("ALLOW_INSECURE", "everything", "MIMAMORI_REVIEW_ALLOW_INSECURE"),
    ],
)
def test_a_wrong_setting_is_named(name: str, value: str, says: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"MIMAMORI_REVIEW_{name}", value)
    with pytest.raises(DeskError, match=says):
        load_settings()


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
    with pytest.raises(DeskError, match="cannot read the PEM files"):
        load_settings().ssl_context()


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
    monkeypatch.setenv("MIMAMORI_REVIEW_ALLOW_INSECURE", "sasl_plaintext")
    load_settings()
