"""What the chart puts into the environment is what the worker and the desk read: by their own settings."""

import json
import os
from typing import Literal, get_args, get_origin

import pytest
from pydantic_settings import BaseSettings

from front.settings import FrontSettings
from review.settings import ReviewSettings
from review.settings import load_settings as load_review
from schemas.access import KafkaAccess
from schemas.events import Message
from schemas.topics import load_topics, topic_names
from tests.deploy.chart import CHART, PROFILES, Renderer, of_kind, pod_of
from tests.deploy.entered import SECRETS, enter, here
from worker.registry_access import RegistryAccess
from worker.settings import Settings
from worker.settings_source import load_settings as load_worker

# Set by the chart from values of its own, or read from secrets: not to be set twice.
WORKER_OWNED = {
    "allow_insecure",
    "bootstrap",
    "bundle",
    "bundle_fingerprint",
    "bundle_public_key",
    "cache_secret",
    "canary_bundle",
    "canary_share",
    "device",
    "drain_s",
    "group",
    "health_host",
    "health_port",
    "kafka",
    "more_bundles",
    "redis_url",
    *KafkaAccess.model_fields,
    *(set(RegistryAccess.model_fields) - {"schema_registry_timeout_s"}),
    "shadow",
    "shadow_at_most",
    "shadow_share",
    "topic_prefix",
    "traces_endpoint",
    "traces_headers",
    "traces_ratio",
    "transactional_id",
}
FRONT_OWNED = {"host", "port", "tls_certificate", "tls_key", "tokens", "tokens_file"}
REVIEW_OWNED = {
    "access",
    "allow_insecure",
    "allowed_hosts",
    "api_tokens",
    "bootstrap",
    "folder",
    "golden",
    "health_host",
    "health_port",
    "host",
    "id_claim",
    "identity_ca",
    "oidc_client_id",
    "oidc_client_secret",
    "oidc_issuer",
    "oidc_scopes",
    "port",
    "proxy_audience",
    "proxy_header",
    "proxy_issuer",
    "proxy_keys_url",
    "proxy_sign_out_url",
    "public_url",
    "replication_factor",
    "role_auditor",
    "role_lead",
    "role_reviewer",
    "roles_claim",
    "signing_key",
    "traces_endpoint",
    "traces_headers",
    "trusted_keys",
    "table_keys",
    "table_keys_file",
    "topic_prefix",
    "webhook_give_up_hours",
    "webhook_secret",
    "webhook_timeout_seconds",
    "webhook_types",
    "webhook_url",
    *KafkaAccess.model_fields,
}


@pytest.mark.parametrize("profile", PROFILES)
def test_worker_accepts_every_profile(
    render: Renderer, profile: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    enter(render, profile, "worker", monkeypatch)
    settings = load_worker()  # refuses any name that is not a setting
    assert settings.health_host == "0.0.0.0"  # noqa: S104 - in a pod, for its probes
    assert settings.health_port == 8080
    assert settings.transactional_id == "from-the-pod.from-the-pod"


@pytest.mark.parametrize("profile", sorted({*PROFILES} - {"worker-only", "static-strimzi"}))
def test_topics_job_accepts_every_profile(
    render: Renderer, profile: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    enter(render, profile, "topics", monkeypatch)
    load_worker()


@pytest.mark.parametrize("profile", sorted({*PROFILES} - {"worker-only", "hpa-fetch"}))
def test_review_desk_accepts_every_profile(
    render: Renderer, profile: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    enter(render, profile, "review", monkeypatch)
    prefix = "MIMAMORI_REVIEW_"
    given = {name.removeprefix(prefix).lower() for name in os.environ if name.startswith(prefix)}
    assert given <= ReviewSettings.model_fields.keys()
    assert (load_review().port, load_review().health_port) == (6066, 6067)


def test_settings_keep_their_types(render: Renderer, monkeypatch: pytest.MonkeyPatch) -> None:
    enter(render, "cpu", "worker", monkeypatch)
    settings = load_worker()
    assert settings.dead_letter_max_bytes == 2_000_000  # a template alone would write 2e+06
    assert settings.dead_letter_original is True
    assert settings.quality_sample_share == 0.02
    assert settings.client_config == {
        "bootstrap.servers": "broker-0.example.org:9093,broker-1.example.org:9093",
        "client.rack": "zone-a",
        "socket.keepalive.enable": True,
        "fetch.max.bytes": 52_428_800,
        "security.protocol": "SASL_SSL",
        "sasl.mechanism": "SCRAM-SHA-256",
        "sasl.username": "ana",
        "sasl.password": "correct horse",
        "ssl.ca.location": here("/etc/mimamori/kafka/ca.crt"),
    }
    assert settings.redis_url.get_secret_value() == SECRETS["redis-url"]


def test_threads_are_the_reserved_cpus_unless_said(render: Renderer, monkeypatch: pytest.MonkeyPatch) -> None:
    enter(render, "default", "worker", monkeypatch)
    assert load_worker().threads == 2
    enter(render, "cpu", "worker", monkeypatch)
    assert load_worker().threads == 4


@pytest.mark.parametrize("component", ["worker", "shadow", "review"])
def test_spans_go_where_the_values_say_and_nowhere_else(
    render: Renderer, component: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    enter(render, "cpu", component, monkeypatch)
    settings = load_review() if component == "review" else load_worker()
    to = settings.spans_to
    assert to is not None
    assert to.url == "https://collector.example.org:4319/v1/traces"
    assert to.headers == {"authorization": "Bearer of-the-collector"}
    if isinstance(settings, Settings):
        assert settings.traces_ratio == 0.25
    enter(render, "default", "review" if component == "review" else "worker", monkeypatch)
    assert (load_review() if component == "review" else load_worker()).spans_to is None


@pytest.mark.parametrize(
    ("component", "fields", "owned"),
    [
        ("worker", Settings.model_fields.keys(), WORKER_OWNED),
        ("front", FrontSettings.model_fields.keys(), FRONT_OWNED),
        ("review", ReviewSettings.model_fields.keys(), REVIEW_OWNED),
    ],
)
def test_values_schema_offers_every_further_setting(
    component: str, fields: set[str], owned: set[str]
) -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())
    offered = schema["properties"][component]["properties"]["settings"]["properties"]
    assert owned <= set(fields)
    assert offered.keys() == set(fields) - owned
    assert all(setting["description"] for setting in offered.values())


@pytest.mark.parametrize(("component", "settings"), [("worker", Settings), ("review", ReviewSettings)])
def test_values_schema_offers_the_choices_that_the_settings_have(
    component: str, settings: type[BaseSettings]
) -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())["properties"][component]["properties"]
    offered = {
        **schema["settings"]["properties"],
        **({"device": schema["device"]} if "device" in schema else {}),
    }
    choices = {
        name: list(get_args(field.annotation))
        for name, field in settings.model_fields.items()
        if get_origin(field.annotation) is Literal and name in offered
    }
    assert choices
    assert {name: offered[name]["enum"] for name in choices} == choices


def test_defaults_agree_with_the_topic_definitions(render: Renderer) -> None:
    prefix = Settings.model_fields["topic_prefix"].default
    (job,) = pod_of(render("default"), "topics")["containers"]
    by_event = {definition.event: definition for definition in load_topics(prefix)}
    assert f"--partitions-override={by_event['message'].partitions}" in job["args"]
    scaled = of_kind(render("keda-sasl"), "ScaledObject")
    assert scaled["spec"]["triggers"][0]["metadata"]["topic"] == topic_names(prefix)[Message]
