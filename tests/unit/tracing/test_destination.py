"""Where spans go: what is accepted, and that no refusal quotes a credential."""

from pathlib import Path

import pytest

from tracing.destination import Destination, destination

CA = Path("ca.pem")


@pytest.mark.parametrize(
    ("endpoint", "url"),
    [
        ("http://collector:4318", "http://collector:4318/v1/traces"),
        ("http://collector:4318/", "http://collector:4318/v1/traces"),
        ("https://collector/otlp", "https://collector/otlp/v1/traces"),
        ("https://collector/otlp/v1/traces", "https://collector/otlp/v1/traces"),
        ("http://[::1]:4318", "http://[::1]:4318/v1/traces"),
    ],
)
def test_an_endpoint_is_a_collectors_base_or_its_whole_url(endpoint: str, url: str) -> None:
    assert destination(endpoint, "", None) == Destination(url, {}, None)


def test_without_an_endpoint_nothing_is_sent() -> None:
    assert destination("", "", None) is None


def test_headers_are_pairs_and_may_hold_what_tokens_hold() -> None:
    found = destination("https://c", "Authorization=Basic YTpi==, x-tenant=a b", CA)
    assert found == Destination(
        "https://c/v1/traces", {"authorization": "Basic YTpi==", "x-tenant": "a b"}, CA
    )
    assert destination("http://localhost:4318", "a=secret", None) is not None


@pytest.mark.parametrize(
    ("endpoint", "headers", "ca", "said"),
    [
        ("", "a=secret", None, "are for a TRACES_ENDPOINT"),
        ("", "", CA, "are for a TRACES_ENDPOINT"),
        ("collector:4318", "", None, "OTLP over HTTP"),
        ("grpc://collector:4317", "", None, "OTLP over HTTP"),
        ("http://", "", None, "OTLP over HTTP"),
        ("https://c/?key=secret", "", None, "OTLP over HTTP"),
        ("https://me:secret@c", "", None, "no credentials"),
        ("http://[::1", "", None, "OTLP over HTTP"),
        ("http://c:port", "", None, "OTLP over HTTP"),
        ("https://c", "secret", None, "name=value"),
        ("https://c", "a=secret\r\nb: c", None, "name=value"),
        ("https://c", "a=sécret", None, "name=value"),
        ("http://collector:4318", "a=secret", None, "plain text"),
        ("http://collector:4318", "", CA, "https"),
    ],
)
def test_what_is_wrong_is_said_without_its_value(
    endpoint: str, headers: str, ca: Path | None, said: str
) -> None:
    with pytest.raises(ValueError, match=said) as refused:
        destination(endpoint, headers, ca)
    assert "secret" not in str(refused.value)
