"""Every profile passes every gate; and each gate is shown to refuse something bad."""

import shutil
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from tests.deploy.chart import CHART, NEWEST, OLDEST, PROFILES, Manifest, Renderer, all_of_kind, of_kind
from tests.deploy.toolbox import Toolbox

IMAGE_VOLUMES = "1.33.0"  # the first to have them
CUSTOM = {"ScaledObject", "TriggerAuthentication", "PodMonitor", "PrometheusRule"}
CUSTOM |= {"KafkaTopic", "KafkaUser", "ExternalSecret"}
# What KEDA's Kafka scaler reads from a trigger's metadata. KEDA ignores any other key in silence.
KAFKA_TRIGGER = {
    "bootstrapServers",
    "consumerGroup",
    "topic",
    "partitionLimitation",
    "lagThreshold",
    "activationLagThreshold",
    "offsetResetPolicy",
    "allowIdleConsumers",
    "excludePersistentLag",
    "scaleToZeroOnInvalidOffset",
    "limitToPartitionsWithLag",
    "ensureEvenDistributionOfPartitions",
    "version",
    "tls",
    "unsafeSsl",
    "sasl",
}
# What its Prometheus scaler reads.
PROMETHEUS_TRIGGER = {
    "serverAddress",
    "query",
    "queryParameters",
    "threshold",
    "activationThreshold",
    "namespace",
    "customHeaders",
    "ignoreNullValues",
    "unsafeSsl",
    "timeout",
    "authModes",
}
TRIGGERS = {"kafka": KAFKA_TRIGGER, "prometheus": PROMETHEUS_TRIGGER}
# What it reads from a TriggerAuthentication.
KAFKA_SECRETS = {"ca", "cert", "key", "keyPassword", "sasl", "tls", "username", "password"}


@pytest.fixture(scope="session")
def definitions(toolbox: Toolbox) -> dict[str, Draft202012Validator]:
    return {kind: Draft202012Validator(schema) for kind, schema in toolbox.definitions().items()}


def custom_faults(manifests: list[Manifest], definitions: dict[str, Draft202012Validator]) -> list[str]:
    found = []
    for manifest in manifests:
        if manifest["kind"] in CUSTOM:
            found += [error.message for error in definitions[manifest["kind"]].iter_errors(manifest)]
    return found


def unknown_trigger_keys(manifests: list[Manifest]) -> set[str]:
    found: set[str] = set()
    for manifest in manifests:
        if manifest["kind"] == "ScaledObject":
            for trigger in manifest["spec"]["triggers"]:
                found |= trigger["metadata"].keys() - TRIGGERS[trigger["type"]]
        if manifest["kind"] == "TriggerAuthentication":
            found |= {item["parameter"] for item in manifest["spec"]["secretTargetRef"]} - KAFKA_SECRETS
    return found


def native(manifests: list[Manifest]) -> list[Manifest]:
    return [manifest for manifest in manifests if manifest["kind"] not in CUSTOM]


@pytest.mark.parametrize("profile", PROFILES)
def test_every_profile_passes_lint(toolbox: Toolbox, profile: str) -> None:
    done = toolbox.helm("lint", "--strict", CHART, "--values", CHART / "ci" / f"{profile}-values.yaml")
    assert done.returncode == 0, done.stdout + done.stderr


def test_lint_refuses_a_chart_that_does_not_render(toolbox: Toolbox, tmp_path: Path) -> None:
    chart = _broken_chart(tmp_path, "worker.yaml", 'include "mimamori.name"', 'include "mimamori.nome"')
    done = toolbox.helm("lint", "--strict", chart, "--values", CHART / "ci" / "default-values.yaml")
    assert done.returncode != 0
    assert "mimamori.nome" in done.stdout + done.stderr


@pytest.mark.parametrize("kubernetes", [OLDEST, NEWEST, IMAGE_VOLUMES])
def test_every_profile_is_valid_kubernetes(toolbox: Toolbox, render: Renderer, kubernetes: str) -> None:
    profiles = {
        OLDEST: [profile for profile in PROFILES if profile != "gpu-keda"],
        NEWEST: PROFILES,
        IMAGE_VOLUMES: ["gpu-keda"],
    }[kubernetes]
    made = [manifest for profile in profiles for manifest in render(profile, kubernetes=kubernetes)]
    assert toolbox.kubernetes(native(made), kubernetes) == []


def _misspell(deployment: dict[str, Any]) -> None:
    deployment["spec"]["template"]["spec"]["terminationGracePeriodSecond"] = 45


def _wrong_type(deployment: dict[str, Any]) -> None:
    deployment["spec"]["replicas"] = "2"


def _unknown_kind(deployment: dict[str, Any]) -> None:
    deployment["kind"] = "Deploymint"


def test_kubernetes_gate_refuses(toolbox: Toolbox, render: Renderer) -> None:
    sound = of_kind(render("default"), "Deployment", "worker")
    given = [sound]
    for spoil in (_misspell, _wrong_type, _unknown_kind):
        given.append(deepcopy(sound))
        spoil(given[-1])
    misspelt, wrong, unknown = toolbox.kubernetes(given, NEWEST)  # of the sound one it says nothing
    assert "terminationGracePeriodSecond" in misspelt
    assert "replicas: '2' is not of type" in wrong
    assert "Deploymint" in unknown


@pytest.mark.parametrize("profile", PROFILES)
def test_every_profile_has_valid_custom_kinds(
    render: Renderer, definitions: dict[str, Draft202012Validator], profile: str
) -> None:
    manifests = render(profile)
    assert custom_faults(manifests, definitions) == []
    assert unknown_trigger_keys(manifests) == set()


def test_profiles_cover_every_custom_kind(render: Renderer) -> None:
    kinds = {manifest["kind"] for profile in PROFILES for manifest in render(profile)}
    assert kinds >= CUSTOM


@pytest.mark.parametrize(
    ("profile", "kind", "path", "value"),
    [
        ("gpu-keda", "ScaledObject", ("spec", "maxReplicasCount"), 3),
        ("gpu-keda", "ScaledObject", ("spec", "fallback", "replica"), 3),
        ("gpu-keda", "ScaledObject", ("spec", "triggers", 0, "metadata", "lagThreshold"), 2000),
        ("gpu-keda", "TriggerAuthentication", ("spec", "secretTargetRefs"), []),
        ("static-strimzi", "KafkaTopic", ("spec", "partition"), 3),
        ("static-strimzi", "KafkaTopic", ("spec", "replicas"), "3"),
        ("static-strimzi", "KafkaUser", ("spec", "authentication", "type"), "scram"),
        ("static-strimzi", "KafkaUser", ("spec", "authorization", "acls", 0, "operations"), ["Reads"]),
        (
            "static-strimzi",
            "KafkaUser",
            ("spec", "authorization", "acls", 0, "resource", "type"),
            "transactional-id",
        ),
        ("static-strimzi", "ExternalSecret", ("spec", "refreshIntervall"), "1h"),
        ("static-strimzi", "ExternalSecret", ("spec", "target", "creationPolicy"), "Orphaned"),
        ("static-strimzi", "ExternalSecret", ("spec", "secretStoreRef", "kind"), "Store"),
        ("static-strimzi", "ExternalSecret", ("apiVersion",), "external-secrets.io/v1alpha1"),
    ],
)
def test_custom_kind_gate_refuses(
    render: Renderer,
    definitions: dict[str, Draft202012Validator],
    profile: str,
    kind: str,
    path: tuple[str | int, ...],
    value: object,
) -> None:
    manifest = deepcopy(all_of_kind(render(profile), kind)[0])
    assert custom_faults([manifest], definitions) == []
    part: Any = manifest
    for step in path[:-1]:
        part = part[step]
    part[path[-1]] = value
    assert custom_faults([manifest], definitions) != []


def test_pod_monitor_gate_refuses(render: Renderer, definitions: dict[str, Draft202012Validator]) -> None:
    monitor = deepcopy(of_kind(render("cpu"), "PodMonitor"))
    monitor["spec"]["podMetricsEndpoint"] = monitor["spec"].pop("podMetricsEndpoints")
    assert custom_faults([monitor], definitions) != []


@pytest.mark.parametrize("version", ["v1beta2", "v1"])
def test_strimzi_takes_either_version(
    render: Renderer, definitions: dict[str, Draft202012Validator], version: str
) -> None:
    api = f"kafka.strimzi.io/{version}"
    made = [
        item
        for item in render("static-strimzi", f'strimzi.apiVersion="{api}"')
        if item["kind"].startswith("Kafka")
    ]
    assert {item["apiVersion"] for item in made} == {api}
    assert custom_faults(made, definitions) == []


def test_rule_gate_refuses(render: Renderer, definitions: dict[str, Draft202012Validator]) -> None:
    rule = deepcopy(of_kind(render("cpu"), "PrometheusRule"))
    assert custom_faults([rule], definitions) == []
    rule["spec"]["groups"][0]["rules"][0]["exprr"] = "vector(1)"
    assert custom_faults([rule], definitions) != []


def test_trigger_gate_refuses_a_key_keda_would_ignore(render: Renderer) -> None:
    scaled = deepcopy(of_kind(render("keda-sasl"), "ScaledObject"))
    metadata = scaled["spec"]["triggers"][0]["metadata"]
    metadata["lagTreshold"] = metadata.pop("lagThreshold")
    metadata = scaled["spec"]["triggers"][1]["metadata"]
    metadata["treshold"] = metadata.pop("threshold")
    assert unknown_trigger_keys([scaled]) == {"lagTreshold", "treshold"}


def _broken_chart(folder: Path, template: str, right: str, wrong: str) -> Path:
    chart = folder / "chart"
    shutil.copytree(CHART, chart)
    file = chart / "templates" / template
    text = file.read_text()
    assert right in text
    file.write_text(text.replace(right, wrong))
    return chart
