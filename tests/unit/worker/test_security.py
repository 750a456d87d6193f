"""What the settings refuse because it would give away a credential or trust anyone, and what doctor says."""

import json
from typing import Any

import pytest

from engine.errors import SettingsError
from worker.security import describe_kafka, describe_redis
from worker.settings_source import load_settings

SECRET = "correct-horse-battery"  # noqa: S105 - to be looked for
ANA = {"sasl.mechanism": "SCRAM-SHA-256", "sasl.username": "ana", "sasl.password": SECRET}
SASL_SSL = {"security.protocol": "SASL_SSL", **ANA}
FAR = "kafka-0.example:9093,kafka-1.example:9093"
WITH_REDIS = {"cache_secret": "0123456789abcdef"}

FORCEABLE: list[tuple[str, dict[str, Any], str]] = [
    ("plaintext_kafka", {}, "can read what people write. Set it to SASL_SSL or SSL"),
    ("plaintext_kafka", {"kafka": {"security.protocol": "plaintext"}}, "what people write"),
    ("plaintext_kafka", {"bootstrap": "127.0.0.1:9092,kafka:9092"}, "what people write"),
    ("sasl_plaintext", {"kafka": {"security.protocol": "SASL_PLAINTEXT", **ANA}}, "SASL_SSL"),
    ("sasl_plaintext", {"kafka": {"security.protocol": "sasl_plaintext", **ANA}}, "SASL_SSL"),
    (
        "unverified_broker",
        {"kafka": {**SASL_SSL, "enable.ssl.certificate.verification": False}},
        "ssl.ca.location",
    ),
    (
        "unverified_broker",
        {"kafka": {**SASL_SSL, "enable.ssl.certificate.verification": "false"}},
        "enable.ssl.certificate.verification",
    ),
    (
        "unverified_broker",
        {"kafka": {"security.protocol": "ssl", "ssl.endpoint.identification.algorithm": "none"}},
        "ssl.endpoint.identification.algorithm",
    ),
    ("foreign_code", {"kafka": {**SASL_SSL, "plugin.library.paths": "monitor"}}, "plugin.library.paths"),
    ("foreign_code", {"kafka": {**SASL_SSL, "ssl.engine.location": "e.so"}}, "ssl.engine.location"),
    ("foreign_code", {"kafka": {**SASL_SSL, "sasl.kerberos.kinit.cmd": "x"}}, "kinit"),
    ("plaintext_redis", {"redis_url": f"redis://:{SECRET}@redis.example/0"}, "rediss://"),
    ("plaintext_redis", {"redis_url": f"redis://redis.example/0?password={SECRET}"}, "rediss://"),
    ("plaintext_redis", {"redis_url": f"redis+cluster://u:{SECRET}@127.0.0.1:1,far.example:2"}, "rediss://"),
    ("plaintext_redis", {"redis_url": f"redis+sentinel://a:1/s?sentinel_password={SECRET}"}, "rediss://"),
    ("unverified_redis", {"redis_url": f"rediss://:{SECRET}@r.example/0?ssl_cert_reqs=none"}, "REDIS_CA"),
    ("unverified_redis", {"redis_url": "rediss://r.example/0?ssl_cert_reqs=optional"}, "REDIS_CA"),
    ("unverified_redis", {"redis_url": "rediss+cluster://a:1,b:2?ssl_check_hostname=false"}, "REDIS_CA"),
]


@pytest.mark.parametrize(("name", "given", "says"), FORCEABLE)
def test_it_is_refused_unless_forced_by_name(name: str, given: dict[str, Any], says: str) -> None:
    beside = {**WITH_REDIS, "kafka": SASL_SSL} if "redis_url" in given else {}
    given = {"bootstrap": FAR, **beside, **given}
    others = {other for other, _, _ in FORCEABLE} - {name}
    with pytest.raises(SettingsError, match=says) as refusal:
        load_settings(**given, allow_insecure=",".join(others))
    assert f"name {name} in MIMAMORI_ALLOW_INSECURE" in str(refusal.value)
    assert SECRET not in str(refusal.value)
    assert "\n" not in str(refusal.value)
    assert load_settings(**given, allow_insecure=name).allow_insecure == {name}


@pytest.mark.parametrize(
    ("kafka", "says"),
    [
        (ANA, "sasl.mechanism, sasl.password, sasl.username, .* PLAINTEXT, .* to SASL_SSL"),
        ({"security.protocol": "ssl", **ANA}, "security.protocol is SSL"),
        ({"ssl.ca.location": "ca.pem"}, "ssl.ca.location, .* to SSL or SASL_SSL"),
        ({"security.protocol": "SASL_PLAINTEXT", **ANA, "ssl.ca.location": "ca.pem"}, "ssl.ca.location"),
    ],
)
def test_credentials_that_the_protocol_does_without_are_refused_always(
    kafka: dict[str, Any], says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever set them expected to be protected, and would not be."""
    monkeypatch.setenv("MIMAMORI_KAFKA", json.dumps(kafka))
    monkeypatch.setenv("MIMAMORI_ALLOW_INSECURE", "sasl_plaintext, unverified_broker")
    for bootstrap in ("localhost:9092", FAR):
        with pytest.raises(SettingsError, match=says) as refusal:
            load_settings(bootstrap=bootstrap)
        assert SECRET not in str(refusal.value)
        assert "plaintext_kafka" not in str(refusal.value)  # as if a name were the remedy


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"bootstrap": FAR, "kafka": SASL_SSL},
        {"bootstrap": FAR, "kafka": {"security.protocol": "SSL", "ssl.ca.location": "ca.pem"}},
        {"bootstrap": FAR, "kafka": {**SASL_SSL, "enable.ssl.certificate.verification": "true"}},
        {"bootstrap": "127.0.0.1:1,[::1]:2", "kafka": {"security.protocol": "SASL_PLAINTEXT", **ANA}},
        {"bootstrap": "SASL_PLAINTEXT://localhost", "kafka": {"security.protocol": "SASL_PLAINTEXT", **ANA}},
        {**WITH_REDIS, "redis_url": "redis://redis.example:6379/0"},
        {**WITH_REDIS, "redis_url": f"redis://:{SECRET}@127.0.0.1/0"},
        {**WITH_REDIS, "redis_url": f"unix://:{SECRET}@/run/redis.sock"},
        {**WITH_REDIS, "redis_url": f"rediss+sentinel://u:{SECRET}@a:1,b:2/service?ssl_cert_reqs=required"},
    ],
)
def test_what_is_safe_or_stays_on_this_machine_needs_no_force(given: dict[str, Any]) -> None:
    load_settings(**given)


def test_an_unknown_name_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MIMAMORI_ALLOW_INSECURE", "everything")
    with pytest.raises(SettingsError, match="MIMAMORI_ALLOW_INSECURE"):
        load_settings()


@pytest.mark.parametrize(
    ("kafka", "words"),
    [
        ({}, "plain text, no credentials"),
        (SASL_SSL, "TLS, certificate verified, SASL SCRAM-SHA-256 as ana"),
        ({"security.protocol": "SASL_PLAINTEXT", **ANA}, "plain text, SASL SCRAM-SHA-256 as ana"),
        (
            {"security.protocol": "SSL", "ssl.certificate.location": "c.pem"},
            "TLS, certificate verified, with a certificate of its own",
        ),
        (
            {"security.protocol": "SSL", "enable.ssl.certificate.verification": False},
            "TLS, the certificate NOT verified, no credentials",
        ),
        (
            {"security.protocol": "SSL", "ssl.endpoint.identification.algorithm": "none"},
            "TLS, certificate verified, its host name NOT, no credentials",
        ),
    ],
)
def test_the_way_to_kafka_is_said(kafka: dict[str, Any], words: str) -> None:
    assert describe_kafka(kafka) == words


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("redis://r.example/0", "plain text, no credentials"),
        (f"rediss://ana:{SECRET}@r.example/0", "TLS, certificate verified, with a password of user ana"),
        (f"redis://:{SECRET}@r.example/0", "plain text, with a password"),
        ("rediss://r.example/0?ssl_cert_reqs=none", "TLS, the certificate NOT verified, no credentials"),
        ("unix:///run/redis.sock", "a socket of this machine, no credentials"),
    ],
)
def test_the_way_to_redis_is_said(url: str, words: str) -> None:
    assert describe_redis(url) == words
