"""How each part of the chart gets into Kafka: secrets, tokens, and the plain text that somebody accepted."""

import json
from typing import get_args

import pytest

from review.settings import load_settings as load_review
from tests.deploy.chart import CHART, PROFILES, Renderer, pod_of
from tests.deploy.entered import MOUNTED, SECRETS, enter, here, kafka_volume
from worker.security import Insecure
from worker.settings_source import load_settings as load_worker

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


def test_passwords_are_files_whose_renewal_reaches_pods_that_run(render: Renderer) -> None:
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
