"""The names of services, as a hosts file for the pods of each namespace, in place of a cluster's DNS.

A name stands for the ready pods behind it, as EndpointSlices list them. Ports are not translated: whoever
asks must know the pods' own.
"""

import threading
from collections import defaultdict
from contextlib import suppress
from http.client import HTTPException
from pathlib import Path

from tests.cluster.api import Api, ApiError, Object

_SLICES = "/apis/discovery.k8s.io/v1/endpointslices"
_SERVICE = "kubernetes.io/service-name"
_WATCH_S, _AGAIN_S = 60, 0.3
_OWN = "127.0.0.1 localhost\n"


class Names:
    """Keeps the files as the cluster is, on a thread of its own."""

    def __init__(self, api: Api, folder: Path) -> None:
        folder.mkdir(parents=True)
        self._api = api
        self._folder = folder
        self._closing = threading.Event()
        self._slices: dict[str, Object] = {}
        self._thread = threading.Thread(target=self._run, name="names", daemon=True)

    def file(self, namespace: str) -> Path:
        """The hosts file of a namespace. It is written in place, since it is mounted."""
        path = self._folder / namespace
        if not path.exists():
            path.write_text(_OWN)
        return path

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End with the next change."""
        self._closing.set()

    def _run(self) -> None:
        while not self._closing.is_set():
            with suppress(ApiError, OSError, HTTPException, KeyError):
                listed = self._api.get(_SLICES)
                self._slices = {found["metadata"]["uid"]: found for found in listed["items"]}
                self._write()
                for kind, found in self._api.watch(_SLICES, listed["metadata"]["resourceVersion"], _WATCH_S):
                    if self._closing.is_set() or kind == "ERROR":
                        break
                    if kind == "DELETED":
                        self._slices.pop(found["metadata"]["uid"], None)
                    else:
                        self._slices[found["metadata"]["uid"]] = found
                    self._write()
            self._closing.wait(_AGAIN_S)

    def _write(self) -> None:
        lines: defaultdict[str, list[str]] = defaultdict(list)
        for found in self._slices.values():
            namespace, service = (
                found["metadata"]["namespace"],
                found["metadata"].get("labels", {}).get(_SERVICE),
            )
            for endpoint in found.get("endpoints") or []:
                if endpoint["conditions"].get("ready"):
                    names = [service, f"{service}.{namespace}", f"{service}.{namespace}.svc"]
                    lines[namespace].append(" ".join([endpoint["addresses"][0], *names]))
        for namespace in {*lines, *(path.name for path in self._folder.iterdir())}:
            self.file(namespace).write_text(_OWN + "\n".join(lines[namespace]) + "\n")
