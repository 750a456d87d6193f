"""A pod's volumes as folders of this machine."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.cluster.api import Api, Object
from tests.cluster.kubelet.images import Images, NoImageError
from tests.cluster.kubelet.references import NoReferenceError, read


class VolumeError(Exception):
    """A volume cannot be mounted (yet)."""


def folders_of(pod: Object, folder: Path, images: Images, api: Api) -> dict[str, Path]:
    """Each volume's folder by its name. Raises VolumeError, NoReferenceError, ApiError."""
    return {
        volume["name"]: _folder_of(volume, pod, folder / volume["name"], images, api)
        for volume in pod["spec"].get("volumes", [])
    }


def mounts_of(container: Mapping[str, Any], folders: Mapping[str, Path]) -> list[dict[str, Any]]:
    """What `enter.py` mounts, outer folders first. Raises VolumeError: a subPath does not exist."""
    mounts = []
    for mount in sorted(container.get("volumeMounts", []), key=lambda mount: len(mount["mountPath"])):
        source = folders[mount["name"]] / mount.get("subPath", "")
        if not source.exists():
            raise VolumeError(f"volume {mount['name']} has no {mount['subPath']}")
        read_only = mount.get("readOnly", False)
        mounts.append({"source": str(source), "at": mount["mountPath"], "read_only": read_only})
    return mounts


def _folder_of(volume: Mapping[str, Any], pod: Object, folder: Path, images: Images, api: Api) -> Path:
    """One volume's folder; it is made here, unless it outlives the pod."""
    ((kind, source),) = ((kind, source) for kind, source in volume.items() if kind != "name")
    namespace = pod["metadata"]["namespace"]
    match kind:
        case "emptyDir":
            folder.mkdir(parents=True, exist_ok=True)
            return folder
        case "configMap":
            optional = source.get("optional", False)
            return _write(
                read(api, namespace, "configmap", source["name"], optional=optional), source, folder
            )
        case "secret":
            optional = source.get("optional", False)
            return _write(
                read(api, namespace, "secret", source["secretName"], optional=optional), source, folder
            )
        case "persistentVolumeClaim":
            return _claimed(api, namespace, source["claimName"])
        case "image":
            try:
                return images.folder(source["reference"])
            except NoImageError as error:
                raise VolumeError(str(error)) from None
        case _:
            raise VolumeError(f"this kubelet has no volumes of kind {kind}")


def _write(data: Mapping[str, bytes], source: Mapping[str, Any], folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    items = source.get("items") or [{"key": key, "path": key} for key in data]
    for item in items:
        if item["key"] not in data:
            raise NoReferenceError(f"references non-existent key: {item['key']}")
        path = folder / item["path"]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        path.write_bytes(data[item["key"]])
        path.chmod(item.get("mode", source.get("defaultMode", 0o644)))
    return folder


def _claimed(api: Api, namespace: str, name: str) -> Path:
    claim = api.find(f"/api/v1/namespaces/{namespace}/persistentvolumeclaims/{name}")
    if claim is None or claim["status"].get("phase") != "Bound":
        raise VolumeError(f'persistentvolumeclaim "{name}" is not bound')
    volume = api.get(f"/api/v1/persistentvolumes/{claim['spec']['volumeName']}")
    return Path(volume["spec"]["hostPath"]["path"])
