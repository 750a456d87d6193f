"""A release of the chart in a namespace of its own: its values, and what it needs beside itself."""

import secrets
from base64 import b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.cluster.api import Api, Object
from tests.cluster.helm import Helm, kubectl
from tests.cluster.kubelet.agent import Kubelet

WORKERS = "app.kubernetes.io/component=worker"
ReleaseOf = Callable[..., "Release"]  # makes one by its name, and with a release of Helm


@dataclass(frozen=True)
class Cluster:
    """What a test may use of the one cluster and the one Kafka of the run."""

    api: Api
    kubelet: Kubelet
    kubeconfig: Path
    bootstrap: str
    bundle: Path
    folder: Path


class Release:
    """`name` is the release's name and that of its namespace, and the prefix of its topics and its group."""

    def __init__(self, cluster: Cluster, name: str, binary: Path) -> None:
        self.cluster = cluster
        self.name = name
        self._api = cluster.api
        folder = cluster.folder / name
        folder.mkdir()
        self.helm = Helm(binary, cluster.kubeconfig, folder, name)
        self._api.create("/api/v1/namespaces", {"metadata": {"name": name}})
        self._provide(folder)

    @property
    def prefix(self) -> str:
        """Of its topics."""
        return f"{self.name}."

    def values(
        self,
        *,
        worker: Mapping[str, Any],
        desk: bool = False,
        partitions: int = 6,
        kafka: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        """The chart's values: the tiny bundle on a claim, workers of a small size, probes that ask often.

        `kafka` says how another Kafka is reached than the run's, which has neither TLS nor logins.
        """
        often = {"periodSeconds": 1, "timeoutSeconds": 3}
        plain = {"bootstrap": self.cluster.bootstrap, "security": {"protocol": "PLAINTEXT"}}
        port = str((kafka or plain)["bootstrap"]).rpartition(":")[2]
        return {
            "kafka": {
                "topicPrefix": self.prefix,
                "partitions": partitions,
                "replicationFactor": 1,
                **(kafka or plain),
            },
            "allowInsecure": [] if kafka else ["plaintext_kafka"],
            "networkPolicy": {"kafkaPorts": [int(port)]},
            "bundle": {"source": "claim", "claim": {"name": "bundles", "subPath": "tiny"}},
            "worker": {
                "group": self.name,
                "device": "cpu",
                "drainSeconds": 15,
                "terminationGracePeriodSeconds": 20,
                "resources": {"requests": {"cpu": "250m", "memory": "256Mi"}, "limits": {"memory": "1Gi"}},
                "probes": {
                    "startup": often | {"failureThreshold": 240},
                    "readiness": often | {"failureThreshold": 3},
                },
                **worker,
            },
            "review": {
                "enabled": desk,
                "tableKeys": {"existingSecret": "desk"},
                "signing": {"existingSecret": "desk"},
                "access": {
                    "mode": "oidc",
                    "publicUrl": "https://desk.example.org",
                    "oidc": {"issuer": "https://login.example.org/realms/safety", "clientId": "desk"},
                },
                "probes": {
                    "startup": often | {"failureThreshold": 240},
                    "readiness": often | {"failureThreshold": 3},
                },
            },
        }

    def pods(self, selector: str = WORKERS) -> list[Object]:
        """Its pods that are not on their way out."""
        found = self._api.items(f"/api/v1/namespaces/{self.name}/pods", labelSelector=selector)
        return [pod for pod in found if "deletionTimestamp" not in pod["metadata"]]

    def kubectl(self, *arguments: str) -> str:
        """Run kubectl in its namespace. Raises RefusedError."""
        return kubectl(self.cluster.kubeconfig, "--namespace", self.name, *arguments)

    def logs(self) -> str:
        """What all its containers have said: for a test that fails."""
        return self.cluster.kubelet.log(f"{self.name}/*")

    def keep_secret(self, name: str, data: Mapping[str, bytes]) -> None:
        """Make a secret in its namespace, as an operator would before the installation."""
        body = {
            "metadata": {"name": name},
            "data": {key: b64encode(value).decode() for key, value in data.items()},
        }
        self._api.create(f"/api/v1/namespaces/{self.name}/secrets", body)

    def _provide(self, folder: Path) -> None:
        """The volumes with the bundles and for the desk's table, and the desk's secrets."""
        desk = folder / "desk"
        desk.mkdir()
        self._volume(f"{self.name}-mimamori-review", desk)  # the chart's own claim
        self._claim("bundles", self._volume("bundles", self.cluster.bundle.parent))
        key = Ed25519PrivateKey.generate().private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        self.keep_secret("desk", {"table-keys": b64encode(secrets.token_bytes(32)), "signing-key.pem": key})

    def _volume(self, claim: str, at: Path) -> str:
        """Make a volume that only one claim of this namespace gets; return its name."""
        name = f"{self.name}-{claim}"
        spec = {
            "capacity": {"storage": "5Gi"},
            "accessModes": ["ReadWriteOnce", "ReadOnlyMany"],
            "hostPath": {"path": str(at)},
            "claimRef": {"namespace": self.name, "name": claim},
        }
        self._api.create("/api/v1/persistentvolumes", {"metadata": {"name": name}, "spec": spec})
        return name

    def _claim(self, name: str, volume: str) -> None:
        spec = {
            "accessModes": ["ReadOnlyMany"],
            "volumeName": volume,
            "storageClassName": "",
            "resources": {"requests": {"storage": "1Gi"}},
        }
        path = f"/api/v1/namespaces/{self.name}/persistentvolumeclaims"
        self._api.create(path, {"metadata": {"name": name}, "spec": spec})


def is_ready(pod: Mapping[str, Any]) -> bool:
    """Whether a pod is ready."""
    conditions = pod["status"].get("conditions", [])
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)
