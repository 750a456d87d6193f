"""One pod's life on its node: volumes, init containers in order, containers, and its end."""

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Any

from tests.cluster.api import Api, ApiError, Object
from tests.cluster.kubelet.container import Container, Made, now
from tests.cluster.kubelet.environment import environment_of, expand
from tests.cluster.kubelet.images import Images, NoImageError
from tests.cluster.kubelet.references import NoReferenceError
from tests.cluster.kubelet.volumes import VolumeError, folders_of, mounts_of

_TICK_S, _AGAIN_S = 0.1, 0.5
_GRACE_S = 30


@dataclass(frozen=True)
class Node:
    """What the pods of all nodes use here."""

    api: Api
    images: Images
    folder: Path
    hosts: Callable[[str], Path]  # the names that pods of a namespace know


class Pod:
    """Plays one pod on a thread of its own, until it is deleted or has nothing more to run."""

    def __init__(self, pod: Object, address: str, node: Node) -> None:
        meta = pod["metadata"]
        self.name = f"{meta['namespace']}/{meta['name']}"
        self.folder = node.folder / meta["namespace"] / f"{meta['name']}-{meta['uid'][:8]}"
        self._pod = pod
        self._node = node
        self._address = address
        self._path = f"/api/v1/namespaces/{meta['namespace']}/pods/{meta['name']}"
        self._grace_s = float(pod["spec"].get("terminationGracePeriodSeconds", _GRACE_S))
        self._ending = threading.Event()
        self._killed = False
        self._volumes: dict[str, Path] = {}
        policy = pod["spec"].get("restartPolicy", "Always")
        once = "Never" if policy == "Never" else "OnFailure"
        self._inits = [self._container(spec, once) for spec in pod["spec"].get("initContainers", [])]
        self._containers = [self._container(spec, policy) for spec in pod["spec"]["containers"]]
        self._since: dict[str, tuple[bool, str]] = {}
        self._reported: Object | None = None
        self._started_at = now()
        self._thread = threading.Thread(target=self._run, name=self.name, daemon=True)

    def start(self) -> None:
        """Begin."""
        self.folder.mkdir(parents=True)
        self._thread.start()

    def end(self, grace_s: float) -> None:
        """End it: it was deleted."""
        self._grace_s = min(self._grace_s, grace_s) if self._ending.is_set() else grace_s
        self._ending.set()

    def kill(self) -> None:
        """End its processes at once, and tell nobody."""
        self._killed = True
        self._ending.set()
        for container in (*self._inits, *self._containers):
            container.kill()

    def join(self, seconds: float) -> None:
        """Wait for its thread."""
        self._thread.join(seconds)

    def _run(self) -> None:
        inits_done = self._mount() and all(self._play([container]) for container in self._inits)
        if inits_done and not self._ending.is_set():
            self._play(self._containers)
        while not self._ending.wait(_AGAIN_S):  # what has ended for good stays until it is deleted
            self._report()
        if not self._killed:
            self._leave()

    def _mount(self) -> bool:
        """Make the volumes, as soon as there is what they are made of. False: it is deleted meanwhile."""
        while not self._ending.is_set():
            try:
                self._volumes = folders_of(
                    self._pod, self.folder / "volumes", self._node.images, self._node.api
                )
            except (VolumeError, NoReferenceError) as error:
                for container in self._inits or self._containers:
                    container.wait_with("ContainerCreating", f"MountVolume.SetUp failed: {error}")
            except (ApiError, OSError, HTTPException):
                pass  # the API server is busy
            else:
                return True
            self._report()
            self._ending.wait(_AGAIN_S)
        return False

    def _play(self, containers: list[Container]) -> bool:
        """Run them until all have ended for good, or the pod is deleted. True: they ended well."""
        for container in containers:
            container.start()
        while not self._ending.is_set():
            for container in containers:
                self._tick(container)
            self._report()
            if all(container.exit_code is not None for container in containers):
                break
            self._ending.wait(_TICK_S)
        return all(container.exit_code == 0 for container in containers)

    def _tick(self, container: Container) -> None:
        try:
            container.tick()
        except NoImageError as error:
            container.wait_with("ErrImagePull", str(error))
        except (NoReferenceError, VolumeError) as error:
            container.wait_with("CreateContainerConfigError", str(error))
        except (ApiError, OSError, HTTPException):
            pass  # the API server is busy

    def _leave(self) -> None:
        running = [container for container in (*self._inits, *self._containers) if container.is_running]
        for container in running:
            container.leave(self._grace_s)
        while any(container.is_running for container in running):
            for container in running:
                self._tick(container)
            self._report()
            time.sleep(_TICK_S)
        self._report()
        gone = {"gracePeriodSeconds": 0, "preconditions": {"uid": self._pod["metadata"]["uid"]}}
        while True:
            try:
                self._node.api.delete(self._path, gone)
            except (ApiError, OSError, HTTPException):
                time.sleep(_AGAIN_S)
            else:
                return

    def _report(self) -> None:
        """Tell the API server how it is, where that has changed."""
        status = self._status()
        if status == self._reported:
            return
        try:
            self._node.api.patch_status(
                self._path, {"metadata": {"uid": self._pod["metadata"]["uid"]}, "status": status}
            )
        except (ApiError, OSError, HTTPException):
            return  # the next tick tries again
        self._reported = status

    def _status(self) -> Object:
        phase = self._phase()
        initialized = all(container.exit_code == 0 for container in self._inits)
        ready = phase == "Running" and all(container.is_ready for container in self._containers)
        conditions = {"Initialized": initialized, "ContainersReady": ready, "Ready": ready}
        return {
            "phase": phase,
            "hostIP": "127.0.0.1",
            "podIP": self._address,
            "podIPs": [{"ip": self._address}],
            "startTime": self._started_at,
            "conditions": [self._condition(kind, is_so=is_so) for kind, is_so in conditions.items()],
            "initContainerStatuses": [container.status() for container in self._inits],
            "containerStatuses": [container.status() for container in self._containers],
        }

    def _phase(self) -> str:
        codes = [container.exit_code for container in self._containers]
        if any(container.exit_code for container in self._inits):
            return "Failed"
        if all(code is not None for code in codes):
            return "Failed" if any(codes) else "Succeeded"
        begun = any(
            container.is_running or container.restarts or container.exit_code is not None
            for container in self._containers
        )
        return "Running" if begun else "Pending"

    def _condition(self, kind: str, *, is_so: bool) -> Object:
        if self._since.get(kind, (None,))[0] != is_so:
            self._since[kind] = (is_so, now())
        return {"type": kind, "status": str(is_so), "lastTransitionTime": self._since[kind][1]}

    def _container(self, spec: Mapping[str, Any], policy: str) -> Container:
        return Container(spec, self._address, policy, self._grace_s, lambda: self._make(spec))

    def _make(self, spec: Mapping[str, Any]) -> Made:
        """What a container is made of now. Raises NoImageError, NoReferenceError, VolumeError, ApiError."""
        image = self._node.images.program(spec["image"])
        environment = environment_of(spec, self._pod, self._address, image.environment, self._node.api)
        arguments = [expand(word, environment) for word in spec.get("args", [])]
        command = [expand(word, environment) for word in spec.get("command", [])]
        if not command:
            command, arguments = image.entrypoint, arguments or image.command
        secure = {**self._pod["spec"].get("securityContext", {}), **spec.get("securityContext", {})}
        hosts = self._node.hosts(self._pod["metadata"]["namespace"])
        root = self.folder / f"{spec['name']}.root"
        root.mkdir(exist_ok=True)
        entry = {
            "root": str(root),
            "mounts": [
                {"source": str(hosts), "at": "/etc/hosts", "read_only": True},
                *mounts_of(spec, self._volumes),
            ],
            "folder": spec.get("workingDir", image.folder),
            "user": secure.get("runAsUser", image.user),
            "group": secure.get("runAsGroup", image.user),
            "read_only_root": secure.get("readOnlyRootFilesystem", False),
        }
        return Made([*command, *arguments], environment, entry, self.folder / f"{spec['name']}.log")
