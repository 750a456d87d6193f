"""A real control plane on loopback: etcd, API server, controller manager, scheduler, and kwok for the nodes.

It takes fixed ports, since it runs in a network of its own (`network.py`). Its data is not kept.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

import yaml

from mimamori.sandbox.server import HOST, Server
from tests.cluster.api import Api
from tests.cluster.certificates import Certificates
from tests.cluster.programs import program

API = f"https://{HOST}:16443"
_ETCD, _ETCD_PEERS = f"http://{HOST}:12379", f"http://{HOST}:12380"
# The autoscaler looks more often than by default, and waits less before it scales down.
_AUTOSCALER = (
    "--horizontal-pod-autoscaler-sync-period=3s",
    "--horizontal-pod-autoscaler-downscale-stabilization=5s",
)

# What kwok does with nodes is its default: they are ready, and their leases are renewed. It would play pods,
# too, unless it had a stage for them; this one fits none, since ours are real.
_NO_PODS = {
    "apiVersion": "kwok.x-k8s.io/v1alpha1",
    "kind": "Stage",
    "metadata": {"name": "no-pods"},
    "spec": {
        "resourceRef": {"apiGroup": "v1", "kind": "Pod"},
        "selector": {"matchLabels": {"mimamori.test/played-by": "kwok"}},
        "next": {"statusTemplate": "phase: Running"},
    },
}


class ControlPlane:
    """Starts the programs, and ends them. A context manager. Raises SandboxError, NotBuiltError."""

    def __init__(self, folder: Path, nodes: Sequence[str]) -> None:
        self._folder = folder
        self._nodes = nodes
        self._started: list[Server] = []
        self.certificates = Certificates(folder / "pki")
        for name, organization in (
            ("apiserver", ""),
            ("admin", "system:masters"),
            ("kubelet", "system:masters"),  # of all nodes; a real one may touch its own node's pods alone
            ("front-proxy", ""),
        ):
            self.certificates.sign(name, organization)
        self.api = Api(API, self.certificates, "admin")
        self.kubeconfig = self._write_kubeconfig()

    def start(
        self, name: str, *arguments: str | Path, environment: Mapping[str, str] | None = None
    ) -> Server:
        """Start one of the cluster's programs, beside the others."""
        beside = [f"{variable}={value}" for variable, value in (environment or {}).items()]
        command = ["env", *beside, program(name), *arguments]
        server = Server(name, command, self._folder / f"{name}.log", None)
        self._started.append(server)
        return server

    def __enter__(self) -> Self:
        try:
            self._start_etcd()
            self._start_api_server()
            self._start_controllers()
            self._start_nodes()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for server in reversed(self._started):
            server.kill()  # nothing of it is read again

    def _start_etcd(self) -> None:
        self.start(
            "etcd",
            f"--data-dir={self._folder / 'etcd'}",
            f"--listen-client-urls={_ETCD}",
            f"--advertise-client-urls={_ETCD}",
            f"--listen-peer-urls={_ETCD_PEERS}",
            f"--initial-advertise-peer-urls={_ETCD_PEERS}",
            f"--initial-cluster=default={_ETCD_PEERS}",
            "--unsafe-no-fsync",
        )

    def _start_api_server(self) -> None:
        keys = self.certificates.path
        server = self.start(
            "kube-apiserver",
            f"--etcd-servers={_ETCD}",
            f"--bind-address={HOST}",
            f"--advertise-address={HOST}",
            f"--secure-port={API.rpartition(':')[2]}",
            f"--tls-cert-file={keys('apiserver.crt')}",
            f"--tls-private-key-file={keys('apiserver.key')}",
            f"--client-ca-file={keys('ca.crt')}",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-key-file={keys('service-accounts.key')}",
            f"--service-account-signing-key-file={keys('service-accounts.key')}",
            "--service-cluster-ip-range=10.96.0.0/16",
            "--authorization-mode=RBAC",
            "--endpoint-reconciler-type=none",
            # For KEDA's metrics, which the API server asks for on behalf of others.
            f"--requestheader-client-ca-file={keys('ca.crt')}",
            "--requestheader-allowed-names=front-proxy",
            "--requestheader-extra-headers-prefix=X-Remote-Extra-",
            "--requestheader-group-headers=X-Remote-Group",
            "--requestheader-username-headers=X-Remote-User",
            f"--proxy-client-cert-file={keys('front-proxy.crt')}",
            f"--proxy-client-key-file={keys('front-proxy.key')}",
        )
        server.await_ready(self.api.is_ready, last_line)

    def _start_controllers(self) -> None:
        keys = self.certificates.path
        common = [
            f"--kubeconfig={self.kubeconfig}",
            f"--authentication-kubeconfig={self.kubeconfig}",
            f"--authorization-kubeconfig={self.kubeconfig}",
            f"--bind-address={HOST}",
            "--leader-elect=false",
        ]
        self.start(
            "kube-controller-manager",
            *common,
            f"--service-account-private-key-file={keys('service-accounts.key')}",
            f"--root-ca-file={keys('ca.crt')}",
            "--use-service-account-credentials=true",
            *_AUTOSCALER,
        )
        self.start("kube-scheduler", *common)

    def _start_nodes(self) -> None:
        stages = self._folder / "stages.yaml"
        stages.write_text(yaml.safe_dump(_NO_PODS))
        server = self.start(
            "kwok",
            f"--kubeconfig={self.kubeconfig}",
            f"--config={stages}",
            "--manage-all-nodes=true",
            f"--node-ip={HOST}",
            "--node-lease-duration-seconds=40",
        )
        for name in self._nodes:
            self.api.create("/api/v1/nodes", _node(name))
        server.await_ready(self._nodes_are_ready, last_line)

    def _nodes_are_ready(self) -> bool:
        nodes = self.api.items("/api/v1/nodes")
        return all(
            any(c["type"] == "Ready" and c["status"] == "True" for c in node["status"].get("conditions", []))
            and not node["spec"].get("taints")
            for node in nodes
        )

    def _write_kubeconfig(self) -> Path:
        keys = self.certificates.path
        cluster = {"server": API, "certificate-authority": str(keys("ca.crt"))}
        user = {"client-certificate": str(keys("admin.crt")), "client-key": str(keys("admin.key"))}
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "tests", "cluster": cluster}],
            "users": [{"name": "admin", "user": user}],
            "contexts": [{"name": "tests", "context": {"cluster": "tests", "user": "admin"}}],
            "current-context": "tests",
        }
        path = self._folder / "kubeconfig"
        path.write_text(yaml.safe_dump(config))
        return path


def _node(name: str) -> dict[str, object]:
    labels = {"kubernetes.io/hostname": name, "kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64"}
    room = {"cpu": "32", "memory": "64Gi", "ephemeral-storage": "256Gi", "pods": "110"}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": labels},
        "status": {"allocatable": room, "capacity": room},
    }


def last_line(log: str) -> str:
    """The likely cause of a failed start, as a program's log ends with it."""
    lines = log.strip().splitlines()
    return lines[-1] if lines else "it left no word"
