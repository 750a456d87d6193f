"""Watches the pods of every node, and gives each a thread that plays it."""

import threading
from contextlib import suppress
from http.client import HTTPException
from pathlib import Path
from typing import Self

from tests.cluster.api import Api, ApiError, Object
from tests.cluster.kubelet.images import Images
from tests.cluster.kubelet.names import Names
from tests.cluster.kubelet.pod import Node, Pod
from tests.cluster.network import Addresses

_PODS = "/api/v1/pods"
_WATCH_S, _AGAIN_S, _END_S = 60, 0.3, 10.0
_OVER = {"Succeeded", "Failed"}


class Kubelet:
    """Runs pods until it is closed. A context manager. Logs and volumes of each pod lie in `folder`."""

    def __init__(self, api: Api, images: Images, folder: Path) -> None:
        self._api = api
        self._names = Names(api, folder / "names")
        self._node = Node(api, images, folder / "pods", self._names.file)
        self._addresses = Addresses()
        self._pods: dict[str, Pod] = {}
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="kubelet", daemon=True)

    def log(self, pod: str) -> str:
        """What all containers of a pod (namespace/name) have said, of each pod that had the name."""
        namespace, _, name = pod.partition("/")
        found = sorted(self._node.folder.glob(f"{namespace}/{name}-*/*.log"))
        return "\n".join(
            f"--- {file.parent.name} {file.name}\n{file.read_text(errors='replace')}" for file in found
        )

    def __enter__(self) -> Self:
        self._names.start()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.set()
        self._names.stop()
        for pod in self._pods.values():
            pod.kill()
        for pod in self._pods.values():
            pod.join(_END_S)

    def _run(self) -> None:
        while not self._closing.is_set():
            with suppress(ApiError, OSError, HTTPException, KeyError):
                listed = self._api.get(_PODS)
                for pod in listed["items"]:
                    self._take("MODIFIED", pod)
                for kind, pod in self._api.watch(_PODS, listed["metadata"]["resourceVersion"], _WATCH_S):
                    if self._closing.is_set() or kind == "ERROR":
                        break
                    self._take(kind, pod)
            self._closing.wait(_AGAIN_S)

    def _take(self, kind: str, pod: Object) -> None:
        uid = pod["metadata"]["uid"]
        known = self._pods.get(uid)
        if kind == "DELETED":
            if known:
                known.end(0)
            return
        if known is None:
            if not pod["spec"].get("nodeName") or pod.get("status", {}).get("phase") in _OVER:
                return
            known = self._pods[uid] = Pod(pod, self._addresses.take(), self._node)
            known.start()
        if pod["metadata"].get("deletionTimestamp"):
            known.end(pod["metadata"].get("deletionGracePeriodSeconds", 0))
