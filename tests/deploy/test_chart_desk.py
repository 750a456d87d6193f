"""What the chart gives the review desk: keys, sign-in, webhooks, files: by the desk's own settings."""

from pathlib import Path

import pytest

from review.settings import load_settings as load_review
from schemas.signature import TrustedKeys
from tests.deploy.chart import Renderer, all_of_kind, pod_of
from tests.deploy.entered import SECRETS, enter, here


def test_review_desk_gets_the_same_credentials(render: Renderer, monkeypatch: pytest.MonkeyPatch) -> None:
    enter(render, "cpu", "review", monkeypatch)
    settings = load_review()
    assert settings.security_protocol == "SASL_SSL"
    assert settings.sasl_mechanism == "SCRAM-SHA-256"
    assert settings.sasl_secret() == SECRETS["password"]
    assert str(settings.ssl_ca) == here("/etc/mimamori/kafka/ca.crt")
    assert settings.keep_markers_days == 30
    assert settings.table_keys is not None
    assert settings.table_keys.get_secret_value() == SECRETS["table-keys"]
    assert settings.folder == Path("/var/lib/mimamori/desk")


def test_review_desk_knows_who_may_come(render: Renderer, monkeypatch: pytest.MonkeyPatch) -> None:
    enter(render, "cpu", "review", monkeypatch)
    settings = load_review()
    assert (settings.access, settings.oidc_client_id) == ("oidc", "review-desk")
    assert settings.oidc_client_secret is not None
    assert settings.oidc_client_secret.get_secret_value() == SECRETS["client-secret"]
    assert str(settings.identity_ca) == "/etc/mimamori/identity/ca.pem"
    assert settings.hosts == {"desk.example.org", "desk.internal", "localhost"}
    assert settings.roles_claim == "realm_access.roles"
    assert settings.role_reviewer == {"reviewer", "trainee"}
    enter(render, "gpu-keda", "review", monkeypatch)
    settings = load_review()
    assert (settings.access, settings.proxy_header) == ("proxy", "X-Goog-IAP-JWT-Assertion")
    assert settings.role_reviewer == {"aoi@example.org", "ben@example.org"}


def test_the_desk_gets_the_key_that_signs_and_those_it_trusts(
    render: Renderer, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifests = render("cpu")
    enter(render, "cpu", "review", monkeypatch)
    settings = load_review()
    pod = pod_of(manifests, "review")
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    mounts = {mount["name"]: mount["mountPath"] for mount in pod["containers"][0]["volumeMounts"]}
    secret = volumes["signing"]["secret"]
    (item,) = secret["items"]
    assert (secret["secretName"], item["key"]) == ("mimamori-desk-key", "signing-key.pem")
    assert secret["defaultMode"] & 0o007 == 0
    assert str(settings.signing_key) == f"{mounts['signing']}/{item['path']}"
    keys = next(item for item in all_of_kind(manifests, "ConfigMap", "review") if "keys.pem" in item["data"])
    assert volumes["trusted-keys"]["configMap"]["name"] == keys["metadata"]["name"]
    assert str(settings.trusted_keys) == f"{mounts['trusted-keys']}/keys.pem"
    assert TrustedKeys.read(keys["data"]["keys.pem"].encode()).keys


def test_the_desk_gets_what_it_tells_others_by_and_the_files_that_are_nobody_elses(
    render: Renderer, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifests = render("cpu")
    enter(render, "cpu", "review", monkeypatch)
    settings = load_review()
    assert settings.webhook_url == "https://safety.example.org/mimamori"
    assert settings.webhook_types == {"case.overdue"}
    assert (settings.webhook_timeout_seconds, settings.webhook_give_up_hours) == (2.5, 24)
    assert settings.webhook_secret is not None
    assert settings.webhook_secret.get_secret_value() == SECRETS["webhook-secret"]
    pod = pod_of(manifests, "review")
    (container,) = pod["containers"]
    (signs,) = [item for item in container["env"] if item["name"] == "MIMAMORI_REVIEW_WEBHOOK_SECRET"]
    assert signs["valueFrom"]["secretKeyRef"]["name"] == "mimamori-webhooks"
    volumes = {volume["name"]: volume["secret"] for volume in pod["volumes"] if "secret" in volume}
    mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    for name, secret, key, path in (
        ("api-tokens", "mimamori-programs", "api-tokens", settings.api_tokens),
        ("golden", "mimamori-golden", "items", settings.golden),
    ):
        (item,) = volumes[name]["items"]
        assert (volumes[name]["secretName"], item["key"]) == (secret, key)
        assert volumes[name]["defaultMode"] & 0o007 == 0
        assert str(path) == f"{mounts[name]}/{item['path']}"
    enter(render, "default", "review", monkeypatch)
    settings = load_review()
    assert (settings.webhook_url, settings.api_tokens, settings.golden) == (None, None, None)
