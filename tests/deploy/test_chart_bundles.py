"""Which bundles worker, shadow and front get from the chart, and how each is pinned: by their settings."""

import json
import os
from pathlib import Path

import pytest

from engine.bundle.signature import Trust, make_keys
from front.settings import load_front_settings
from tests.deploy.chart import Renderer, environment, pod_of
from tests.deploy.entered import SECRETS, enter, here
from worker.settings_source import load_settings as load_worker


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
