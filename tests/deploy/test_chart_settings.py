"""What the chart puts into the environment is what the worker and the desk read: by their own settings."""

import json
import os
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal, get_args, get_origin

import pytest
from pydantic_settings import BaseSettings

from engine.bundle.signature import Trust, make_keys
from front.settings import FrontSettings, load_front_settings
from mimamori.sandbox.certificates import Authority
from review.settings import ReviewSettings
from review.settings import load_settings as load_review
from schemas.access import KafkaAccess
from schemas.events import Message
from schemas.signature import TrustedKeys
from schemas.topics import load_topics, topic_names
from tests.deploy.chart import CHART, PROFILES, Manifest, Renderer, all_of_kind, environment, of_kind, pod_of
from worker.registry_access import RegistryAccess
from worker.security import Insecure
from worker.settings import Settings
from worker.settings_source import load_settings as load_worker

SECRETS = {
    "username": "ana",
    "password": "correct horse",
    "redis-url": "rediss://:pw@redis:6379/0",
    "cache-secret": "0123456789abcdef",
    "table-keys": "cmF0aGVyIGEgc2VudGVuY2UgdGhhbiBhIGtleSAuLi4=",
    "client-secret": "of the desk",
    "otlp": "authorization=Bearer of-the-collector",
    "webhook-secret": "whsec_bm90IGEgc2VjcmV0LCBvbmx5IGEgdGVzdA==",
}
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


def enter(render: Renderer, profile: str, component: str, patch: pytest.MonkeyPatch, *changed: str) -> None:
    """Give this process the environment that the component's container would have."""
    manifests = render(profile, *changed)
    (container,) = pod_of(manifests, component)["containers"]
    given = environment(container, manifests, SECRETS)
    open_key = any("SSL_KEY" in name for name in given) and not any(
        "SSL_KEY_PASSWORD" in name for name in given
    )
    files = secret_files(b"") if open_key else secret_files()
    for name in [name for name in os.environ if name.startswith("MIMAMORI_")]:
        patch.delenv(name)
    for name, value in given.items():
        patch.setenv(name, here(value, files))


MOUNTED, MOUNTED_REGISTRY = "/etc/mimamori/kafka", "/etc/mimamori/registry"


@cache
def secret_files(passphrase: bytes = b"hush") -> TemporaryDirectory[str]:
    """What the volumes `kafka` and `kafka-token` would hold."""
    made = TemporaryDirectory()
    folder, authority = Path(made.name), Authority.make()
    for name in ("kafka", "kafka-token", "registry"):
        (folder / name).mkdir()
    for name in ("ca.crt", "token-ca.crt"):
        (folder / "kafka" / name).write_bytes(authority.pem)
    authority.issue("ana", passphrase=passphrase).write(
        folder / "kafka" / "tls.crt", folder / "kafka" / "tls.key"
    )
    (folder / "kafka" / "tls.key.password").write_bytes(passphrase)
    (folder / "kafka" / "password").write_text(SECRETS["password"])
    (folder / "registry" / "ca.crt").write_bytes(authority.pem)
    (folder / "registry" / "password").write_text(SECRETS["password"])
    (folder / "kafka-token" / "token").write_text("of a service account")
    return made


def here(value: str, files: TemporaryDirectory[str] | None = None) -> str:
    """A path in the pod as one on this machine."""
    folder = (files or secret_files()).name
    for mounted in (MOUNTED, MOUNTED_REGISTRY):
        if value.startswith(mounted):
            return value.replace(mounted, f"{folder}/{Path(mounted).name}", 1)
    return value


@pytest.mark.parametrize("profile", PROFILES)
def test_worker_accepts_every_profile(
    render: Renderer, profile: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    enter(render, profile, "worker", monkeypatch)
    settings = load_worker()  # refuses any name that is not a setting
    assert settings.health_host == "0.0.0.0"  # noqa: S104 - in a pod, for its probes
    assert settings.health_port == 8080
    assert settings.transactional_id == "from-the-pod.from-the-pod"


def test_a_shadow_gets_a_bundle_a_group_and_bounds_of_its_own(
    render: Renderer, monkeypatch: pytest.MonkeyPatch
) -> None:
    enter(render, "cpu", "worker", monkeypatch)
    worker = load_worker()
    enter(render, "cpu", "shadow", monkeypatch)
    shadow = load_worker()
    assert (shadow.shadow, shadow.shadow_share, shadow.shadow_at_most) == (True, 0.25, 5)
    assert shadow.own_group == f"{worker.own_group}-shadow"
    assert shadow.own_transactional_id != worker.own_transactional_id
    assert shadow.client_config == worker.client_config
    assert shadow.bundle_fingerprint != worker.bundle_fingerprint
    assert shadow.bundle_public_key == worker.bundle_public_key
    assert shadow.redis_url.get_secret_value() == ""
    pods = {component: pod_of(render("cpu"), component) for component in ("worker", "shadow")}
    paths = {
        component: [m["subPath"] for m in pod["containers"][0]["volumeMounts"] if m["name"] == "bundle"]
        for component, pod in pods.items()
    }
    assert paths == {"worker": ["stress/2026-11"], "shadow": ["stress/2026-12"]}


def test_a_worker_gets_the_bundles_of_further_tasks_and_a_canary(
    render: Renderer, monkeypatch: pytest.MonkeyPatch
) -> None:
    enter(render, "cpu", "worker", monkeypatch)
    worker = load_worker()
    assert worker.more_bundles == (Path("/bundles/suicide-risk"),)
    assert (worker.canary_bundle, worker.canary_share) == (Path("/bundles/canary"), 0.05)
    for pinned in ("5" * 64, "6" * 64, "7" * 64):
        assert worker.trust.allows(pinned)
    pod = pod_of(render("cpu"), "worker")
    claims = {
        each["name"]: each["persistentVolumeClaim"]["claimName"]
        for each in pod["volumes"]
        if "persistentVolumeClaim" in each
    }
    mounts = {
        mount["mountPath"]: (claims[mount["name"]], mount["subPath"], mount["readOnly"])
        for mount in pod["containers"][0]["volumeMounts"]
        if mount["name"] in claims
    }
    assert mounts == {
        "/bundle/current": ("bundles", "stress/2026-11", True),
        "/bundles/suicide-risk": ("bundles", "suicide-risk/2026-11", True),
        "/bundles/canary": ("bundles", "stress/2026-12", True),
    }
    image = '{"name": "scams", "source": "image", "image": {"reference": "registry/scams@sha256:1"}}'
    volumes = {
        each["name"]: each
        for each in pod_of(render("default", f"moreBundles=[{image}]"), "worker")["volumes"]
    }
    assert volumes["further-scams"]["image"] == {
        "reference": "registry/scams@sha256:1",
        "pullPolicy": "IfNotPresent",
    }


def test_without_being_asked_for_there_is_no_shadow_and_no_front(render: Renderer) -> None:
    assert not {"shadow", "front"} & {
        manifest["metadata"]["labels"].get("app.kubernetes.io/component") for manifest in render("default")
    }


def test_a_front_reads_as_the_workers_do_and_answers_whom_its_secrets_name(
    render: Renderer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    manifests = render("cpu")
    enter(render, "cpu", "worker", monkeypatch)
    worker = load_worker()
    enter(render, "cpu", "front", monkeypatch)
    settings = load_worker()
    assert settings.bundle_fingerprint == worker.bundle_fingerprint.split(",")[0]  # a front serves one task
    assert settings.bundle_public_key == worker.bundle_public_key
    assert (settings.device, settings.precision) == (worker.device, worker.precision)
    assert settings.max_tokens == 8192 != worker.max_tokens  # workerSettings win over worker.settings
    assert settings.threads == 2  # and the CPUs are the front's own
    assert settings.redis_url.get_secret_value() == ""
    assert not [
        name for name in os.environ if "SASL" in name or name in {"MIMAMORI_KAFKA", "MIMAMORI_BOOTSTRAP"}
    ]
    pod = pod_of(manifests, "front")
    (container,) = pod["containers"]
    mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    volumes = {volume["name"]: volume["secret"] for volume in pod["volumes"] if "secret" in volume}
    named = {
        "MIMAMORI_FRONT_TOKENS_FILE": ("tokens", "mimamori-front", "tokens"),
        "MIMAMORI_FRONT_TLS_CERTIFICATE": ("tls", "mimamori-front-tls", "tls.crt"),
        "MIMAMORI_FRONT_TLS_KEY": ("tls", "mimamori-front-tls", "tls.key"),
    }
    for variable, (name, secret, key) in named.items():
        assert volumes[name]["secretName"] == secret
        paths = {item["key"]: item["path"] for item in volumes[name]["items"]}
        assert os.environ[variable] == f"{mounts[name]}/{paths[key]}"
        file = tmp_path / key
        file.write_text("of a client in a chat\n")
        monkeypatch.setenv(variable, str(file))  # where the kubelet would have put it
    own = load_front_settings()  # refuses any name that is not a setting
    assert own.known_tokens == {"of a client in a chat"}
    assert (own.host, own.port) == ("0.0.0.0", 8088)  # noqa: S104 - in a pod, for its Service
    assert own.attributes == {"TOXICITY": "stress"}
    assert (own.deadline_s, own.max_body_bytes) == (2.5, 2_000_000)


def test_a_bundle_is_pinned_and_its_signer_known(
    render: Renderer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    make_keys(tmp_path / "key.pem", tmp_path / "pub.pem", None)
    pem = (tmp_path / "pub.pem").read_text()
    values = (f"bundle.publicKey={json.dumps(pem)}", f'bundle.fingerprint="{"ab" * 16}"')
    manifests = render("gpu-keda", *values)
    (container,) = pod_of(manifests, "worker")["containers"]
    seen = environment(container, manifests, SECRETS)
    assert seen["MIMAMORI_BUNDLE_FINGERPRINT"] == "ab" * 16
    mounts = {mount["name"]: mount for mount in container["volumeMounts"]}
    folder, _, name = seen["MIMAMORI_BUNDLE_PUBLIC_KEY"].rpartition("/")
    assert mounts["bundle-key"]["mountPath"] == folder
    volumes = {volume["name"]: volume for volume in pod_of(manifests, "worker")["volumes"]}
    maps = {item["metadata"]["name"]: item["data"] for item in manifests if item["kind"] == "ConfigMap"}
    assert maps[volumes["bundle-key"]["configMap"]["name"]][name] == pem
    assert "MIMAMORI_BUNDLE_PUBLIC_KEY" not in environment(container, render("gpu-keda"), SECRETS)
    # With the file where it is mounted, the worker's own settings take both.
    for variable in [variable for variable in os.environ if variable.startswith("MIMAMORI_")]:
        monkeypatch.delenv(variable)
    for variable, value in seen.items():
        monkeypatch.setenv(variable, here(value))
    monkeypatch.setenv("MIMAMORI_BUNDLE_PUBLIC_KEY", str(tmp_path / "pub.pem"))
    assert load_worker().trust == Trust("ab" * 16, tmp_path / "pub.pem")


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


@pytest.mark.parametrize("component", ["worker", "shadow"])
def test_framed_messages_are_read_with_the_registry_of_the_values(
    render: Renderer, component: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    enter(render, "cpu", component, monkeypatch)
    settings = load_worker()
    assert settings.schema_registry_url == "https://registry.example.org/apis/ccompat/v7"
    assert settings.schema_registry_user == "ana"
    assert settings.label_format == "avro"
    assert settings.authorization() is not None
    assert settings.schema_registry_ca == Path(here("/etc/mimamori/registry/ca.crt"))
    (volume,) = (each for each in pod_of(render("cpu"), component)["volumes"] if each["name"] == "registry")
    assert volume["secret"]["secretName"] == "mimamori-registry"
    token = (
        'schemaRegistry.tokenKey="token"',
        'schemaRegistry.userKey=""',
        'schemaRegistry.passwordKey=""',
        'schemaRegistry.labelFormat="plain"',
    )
    environment_of = {
        each["name"]: each.get("value")
        for each in pod_of(render("cpu", *token), component)["containers"][0]["env"]
        if "REGISTRY" in each["name"] or "LABEL_FORMAT" in each["name"]
    }
    assert environment_of == {
        "MIMAMORI_SCHEMA_REGISTRY_URL": "https://registry.example.org/apis/ccompat/v7",
        "MIMAMORI_SCHEMA_REGISTRY_TOKEN_FILE": "/etc/mimamori/registry/token",
        "MIMAMORI_SCHEMA_REGISTRY_CA": "/etc/mimamori/registry/ca.crt",
    }


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


def test_what_is_accepted_reaches_whom_it_concerns(render: Renderer, monkeypatch: pytest.MonkeyPatch) -> None:
    named = ["plaintext_front", "plaintext_redis", "plaintext_kafka"]
    changed = ('kafka.security.protocol="PLAINTEXT"', f"allowInsecure={json.dumps(named)}")
    enter(render, "default", "worker", monkeypatch, *changed)
    assert load_worker().allow_insecure == {"plaintext_redis", "plaintext_kafka"}
    enter(render, "default", "review", monkeypatch, *changed)
    assert load_review().allow_insecure == {"plaintext_kafka"}
    enter(render, "default", "worker", monkeypatch)
    assert (load_worker().allow_insecure, load_worker().security_protocol) == (frozenset(), "SASL_SSL")
    schema = json.loads((CHART / "values.schema.json").read_text())
    offered = schema["properties"]["allowInsecure"]["items"]["enum"]
    assert set(offered) == {*get_args(Insecure), "plaintext_front"}


def test_threads_are_the_reserved_cpus_unless_said(render: Renderer, monkeypatch: pytest.MonkeyPatch) -> None:
    enter(render, "default", "worker", monkeypatch)
    assert load_worker().threads == 2
    enter(render, "cpu", "worker", monkeypatch)
    assert load_worker().threads == 4


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


def kafka_volume(pod: Manifest) -> Manifest:
    (volume,) = [volume for volume in pod["volumes"] if volume["name"] == "kafka"]
    return dict(volume["secret"])


TOKENS = (
    'kafka.security.protocol="SASL_SSL"',
    'kafka.security.saslMechanism="OAUTHBEARER"',
    "worker.autoscaling.enabled=false",
)
ENDPOINT = ("tokenUrl", "https://login.example/token"), ("scope", "kafka"), ("caKey", "token-ca")


@pytest.mark.parametrize("component", ["worker", "review", "topics"])
def test_what_is_mounted_is_where_the_settings_say_and_may_be_renewed(
    render: Renderer, component: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    oauth = [f'kafka.security.oauth.{name}="{value}"' for name, value in ENDPOINT]
    pod = pod_of(render("gpu-keda", *TOKENS, *oauth), component)
    volume = kafka_volume(pod)
    assert {item["key"]: item["path"] for item in volume["items"]} == {
        "ca.crt": "ca.crt",
        "user.crt": "tls.crt",
        "user.key": "tls.key",
        "key-passphrase": "tls.key.password",
        "password": "password",
        "token-ca": "token-ca.crt",
    }
    assert volume["defaultMode"] & 0o007 == 0
    (mount,) = [each for each in pod["containers"][0]["volumeMounts"] if each["name"] == "kafka"]
    assert mount == {"name": "kafka", "mountPath": MOUNTED, "readOnly": True}  # a subPath is never renewed
    enter(render, "gpu-keda", component, monkeypatch, *TOKENS, *oauth)
    settings = load_review() if component == "review" else load_worker()
    assert settings.sasl_secret() == SECRETS["password"]
    assert (settings.sasl_token_url, settings.sasl_token_scope) == ("https://login.example/token", "kafka")
    assert str(settings.sasl_token_ca) == here(f"{MOUNTED}/token-ca.crt")
    assert settings.tls_files().subject() == "CN=ana"


@pytest.mark.parametrize("component", ["worker", "review", "topics"])
def test_a_pod_may_log_in_as_its_service_account(
    render: Renderer, component: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    changed = (*TOKENS, 'kafka.security.oauth.serviceAccountAudience="kafka.example"')
    pod = pod_of(render("gpu-keda", *changed), component)
    (volume,) = [volume for volume in pod["volumes"] if volume["name"] == "kafka-token"]
    assert volume["projected"]["sources"] == [
        {
            "serviceAccountToken": {
                "audience": "kafka.example",
                "expirationSeconds": 3600,
                "path": "token",
            }
        }
    ]
    assert pod["automountServiceAccountToken"] is False
    assert "password" not in {item["path"] for item in kafka_volume(pod)["items"]}
    enter(render, "gpu-keda", component, monkeypatch, *changed)
    settings = load_review() if component == "review" else load_worker()
    token = settings.token_file()
    assert token is not None
    assert token.read()[0] == "of a service account"


def test_no_secret_stands_in_a_manifest(render: Renderer) -> None:
    for profile in PROFILES:
        for variable in (
            each
            for manifest in render(profile)
            if manifest["kind"] in {"Deployment", "StatefulSet", "Job"}
            for container in manifest["spec"]["template"]["spec"]["containers"]
            for each in container.get("env", [])
        ):
            assert not ("PASSWORD" in variable["name"] and not variable["name"].endswith("_FILE")), variable


def test_each_part_logs_in_with_its_own_secret_or_else_with_the_one_of_all(render: Renderer) -> None:
    everybody = ("worker", "shadow", "review", "topics")
    own = [f'kafka.security.existingSecrets.{part}="kafka-{part}"' for part in everybody]
    for changed, names in (
        (own, {part: f"kafka-{part}" for part in everybody}),
        (own[2:], {"worker": "mimamori-kafka", "shadow": "mimamori-kafka-shadow", "review": "kafka-review"}),
    ):
        manifests = render("cpu", *changed)
        for part, name in names.items():
            pod = pod_of(manifests, part)
            volume = kafka_volume(pod)
            asked = {
                variable["valueFrom"]["secretKeyRef"]["name"]
                for variable in pod["containers"][0]["env"]
                if variable["name"].endswith("_USERNAME")
            }
            assert asked == {volume["secretName"]} == {name}


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
