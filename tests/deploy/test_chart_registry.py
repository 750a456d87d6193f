"""What the chart tells workers, shadows and a job of its own about a schema registry."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from mimamori.cli import app
from tests.deploy.chart import Renderer, component_of, of_kind, pod_of
from tests.deploy.entered import enter, here
from tests.fakes.schema_registry import schema_registry
from worker.errors import RegistryError
from worker.registry.label_writing import FramedLabels
from worker.settings_source import load_settings as load_worker


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
        'schemaRegistry.register.existingSecret=""',
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


def test_the_schema_of_labels_is_registered_before_the_workers_by_whom_may_write_it(render: Renderer) -> None:
    manifests = render("cpu")
    job = of_kind(manifests, "Job", "schemas")
    topics = of_kind(manifests, "Job", "topics")
    hooks = [each["metadata"]["annotations"] for each in (topics, job)]
    assert {each["helm.sh/hook"] for each in hooks} == {"pre-install,pre-upgrade"}
    weights = [int(each["helm.sh/hook-weight"]) for each in hooks]
    assert weights == sorted({*weights})  # after the topics: a schema that is registered stays so
    pod = pod_of(manifests, "schemas")
    (container,) = pod["containers"]
    assert "envFrom" not in container  # no ConfigMap of the release exists yet
    (volume,) = (each for each in pod["volumes"] if each["name"] == "registry")
    (user,) = (each for each in container["env"] if each["name"] == "MIMAMORI_SCHEMA_REGISTRY_USER")
    named = {volume["secret"]["secretName"], user["valueFrom"]["secretKeyRef"]["name"]}
    assert named == {"mimamori-registry-writer"}
    assert not [each for each in container["env"] if "KAFKA" in each["name"] or "SASL" in each["name"]]
    shared = pod_of(render("cpu", 'schemaRegistry.register.existingSecret=""'), "schemas")
    (volume,) = (each for each in shared["volumes"] if each["name"] == "registry")
    assert volume["secret"]["secretName"] == "mimamori-registry"


@pytest.mark.parametrize("form", ["avro", "json"])
def test_after_the_job_a_worker_of_the_same_values_finds_its_schema_and_another_run_changes_nothing(
    render: Renderer, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with schema_registry() as registry:
        changed = (
            f'schemaRegistry.url="{registry.url}"',
            f'schemaRegistry.labelFormat="{form}"',
            'schemaRegistry.caKey=""',
            "networkPolicy.enabled=false",
            'allowInsecure=["plaintext_registry", "plaintext_redis"]',
        )
        enter(render, "cpu", "worker", monkeypatch, *changed)
        with pytest.raises(RegistryError, match="does not have it there"):
            FramedLabels.of(load_worker())
        enter(render, "cpu", "schemas", monkeypatch, *changed)
        (container,) = pod_of(render("cpu", *changed), "schemas")["containers"]
        said = [CliRunner().invoke(app, container["args"]).output for _ in range(2)]
        assert [each.partition(",")[0] for each in said] == [
            "safety.labels-value: registered",
            "safety.labels-value: is there",
        ]
        enter(render, "cpu", "worker", monkeypatch, *changed)
        framed = FramedLabels.of(load_worker())
    assert framed is not None
    assert framed.form == form
    assert registry.subjects == {"safety.labels-value": [framed.schema_id]}


@pytest.mark.parametrize(
    "changed", ['schemaRegistry.labelFormat="plain"', "schemaRegistry.register.enabled=false"]
)
def test_where_nothing_is_framed_or_somebody_else_registers_there_is_no_such_job(
    render: Renderer, changed: str
) -> None:
    manifests = render("cpu", changed, 'schemaRegistry.register.existingSecret=""')
    assert "schemas" not in {component_of(each) for each in manifests}
