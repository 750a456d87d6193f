"""KEDA: its operator, and its metrics adapter, which answers the autoscaler by way of the API server."""

from typing import Any

import yaml

from mimamori.sandbox.server import HOST
from tests.cluster.api import Api
from tests.cluster.control_plane import ControlPlane, last_line
from tests.cluster.programs import tools

_NAMESPACE = "keda"
_ADAPTER, _OPERATOR = 16444, 19666
_METRICS = "external.metrics.k8s.io"


def start_keda(plane: ControlPlane) -> None:
    """Install and start it. It runs until the control plane ends. Raises SandboxError."""
    _install(plane.api)
    keys = plane.certificates
    keys.sign("tls")  # the name of the file that KEDA looks for
    environment = {
        "KUBECONFIG": str(plane.kubeconfig),
        "POD_NAMESPACE": _NAMESPACE,
        "WATCH_NAMESPACE": "",
        "KEDA_CLUSTER_OBJECT_NAMESPACE": _NAMESPACE,
    }
    plane.start(
        "keda-operator",
        f"--metrics-bind-address={HOST}:18080",
        f"--health-probe-bind-address={HOST}:18081",
        f"--metrics-service-bind-address={HOST}:{_OPERATOR}",
        f"--cert-dir={keys.folder}",
        "--enable-cert-rotation=false",
        "--leader-elect=false",
        environment=environment,
    )
    adapter = plane.start(
        "keda-adapter",
        f"--secure-port={_ADAPTER}",
        f"--bind-address={HOST}",
        f"--metrics-service-address={HOST}:{_OPERATOR}",
        "--port=18082",
        f"--client-ca-file={keys.path('ca.crt')}",
        f"--tls-cert-file={keys.path('tls.crt')}",
        f"--tls-private-key-file={keys.path('tls.key')}",
        f"--cert-dir={keys.folder}",
        *(
            f"--{name}-kubeconfig={plane.kubeconfig}"
            for name in ("lister", "authentication", "authorization")
        ),
        environment=environment,
    )
    adapter.await_ready(lambda: _is_available(plane.api), last_line)


def _install(api: Api) -> None:
    for path, body in _objects():
        api.create(path, body)


def _objects() -> list[tuple[str, dict[str, Any]]]:
    core, access = "/api/v1", "/apis/rbac.authorization.k8s.io/v1"
    role = {"kind": "ClusterRole", "apiGroup": "rbac.authorization.k8s.io", "name": "external-metrics"}
    who = {"kind": "ServiceAccount", "name": "horizontal-pod-autoscaler", "namespace": "kube-system"}
    # Endpoints may not lie on loopback, but a service may be another name for it.
    service = {"type": "ExternalName", "externalName": "localhost", "ports": [{"port": _ADAPTER}]}
    definitions = sorted((tools() / "files" / "keda").glob("*.yaml"))
    return [
        ("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", yaml.safe_load(file.read_text()))
        for file in definitions
    ] + [
        (f"{core}/namespaces", {"metadata": {"name": _NAMESPACE}}),
        (f"{core}/namespaces/{_NAMESPACE}/services", {"metadata": {"name": "metrics"}, "spec": service}),
        (
            f"{access}/clusterroles",
            {
                "metadata": {"name": role["name"]},
                "rules": [{"apiGroups": [_METRICS], "resources": ["*"], "verbs": ["*"]}],
            },
        ),
        (
            f"{access}/clusterrolebindings",
            {"metadata": {"name": role["name"]}, "roleRef": role, "subjects": [who]},
        ),
        (
            "/apis/apiregistration.k8s.io/v1/apiservices",
            {
                "metadata": {"name": f"v1beta1.{_METRICS}"},
                "spec": {
                    "service": {"name": "metrics", "namespace": _NAMESPACE, "port": _ADAPTER},
                    "group": _METRICS,
                    "version": "v1beta1",
                    "insecureSkipTLSVerify": True,
                    "groupPriorityMinimum": 100,
                    "versionPriority": 100,
                },
            },
        ),
    ]


def _is_available(api: Api) -> bool:
    found = api.get(f"/apis/apiregistration.k8s.io/v1/apiservices/v1beta1.{_METRICS}")
    conditions = found.get("status", {}).get("conditions", [])
    return any(each["type"] == "Available" and each["status"] == "True" for each in conditions)
