"""A container's environment: the image's, then envFrom, then env, as the kubelet puts them together."""

import math
import re
from collections.abc import Mapping
from typing import Any

from tests.cluster.api import Api, Object
from tests.cluster.kubelet.references import Kind, NoReferenceError, read

_EVERYWHERE = "0.0.0.0"  # noqa: S104 - it is what is replaced


def environment_of(
    container: Mapping[str, Any], pod: Object, address: str, inherited: Mapping[str, str], api: Api
) -> dict[str, str]:
    """Everything the program will find. Raises NoReferenceError, ApiError.

    All pods share one network here. So whoever would listen on all addresses is told the pod's own.
    """
    namespace = pod["metadata"]["namespace"]
    seen = dict(inherited)
    for source in container.get("envFrom", []):
        prefix = source.get("prefix", "")
        keys = _keys(source, namespace, api)
        seen |= {prefix + key: value.decode() for key, value in keys.items()}
    for variable in container.get("env", []):
        if "valueFrom" in variable:
            value = _value_from(variable["valueFrom"], container, pod, address, api)
        else:
            value = expand(variable.get("value", ""), seen)
        if value is not None:
            seen[variable["name"]] = value
    return {name: address if value == _EVERYWHERE else value for name, value in seen.items()}


def expand(text: str, seen: Mapping[str, str]) -> str:
    """Fill in $(NAME). A name that is not known stays as it is, and so does $$(NAME), with one $ less."""
    return re.sub(
        r"\$(\$|\(([A-Za-z_][\w.-]*)\))", lambda at: "$" if at[1] == "$" else seen.get(at[2], at[0]), text
    )


def _value_from(
    source: Mapping[str, Any], container: Mapping[str, Any], pod: Object, address: str, api: Api
) -> str | None:
    ((kind, reference),) = source.items()
    match kind:
        case "fieldRef":
            return _field(reference["fieldPath"], pod, address)
        case "resourceFieldRef":
            return _resource(reference["resource"], container)
        case "secretKeyRef" | "configMapKeyRef":
            keys = _keys(source, pod["metadata"]["namespace"], api)
            if reference["key"] not in keys and not reference.get("optional"):
                raise NoReferenceError(f"couldn't find key {reference['key']} in {kind} {reference['name']}")
            return keys[reference["key"]].decode() if reference["key"] in keys else None
        case _:
            raise NoReferenceError(f"this kubelet has no {kind}")


def _keys(source: Mapping[str, Any], namespace: str, api: Api) -> dict[str, bytes]:
    """What secretRef, configMapRef, secretKeyRef or configMapKeyRef refers to."""
    reference = next(source[kind] for kind in source if kind.endswith("Ref"))
    of: Kind = "secret" if any(kind.startswith("secret") for kind in source) else "configmap"
    return read(api, namespace, of, reference["name"], optional=reference.get("optional", False))


def _field(path: str, pod: Object, address: str) -> str:
    if label := re.fullmatch(r"metadata\.(labels|annotations)\['(.+)'\]", path):
        return str(pod["metadata"].get(label[1], {}).get(label[2], ""))
    fields = {
        "metadata.name": pod["metadata"]["name"],
        "metadata.namespace": pod["metadata"]["namespace"],
        "metadata.uid": pod["metadata"]["uid"],
        "spec.nodeName": pod["spec"]["nodeName"],
        "spec.serviceAccountName": pod["spec"].get("serviceAccountName", "default"),
        "status.podIP": address,
    }
    if path not in fields:
        raise NoReferenceError(f"this kubelet has no field {path}")
    return str(fields[path])


def _resource(name: str, container: Mapping[str, Any]) -> str:
    """A request or a limit, in whole CPUs or bytes, rounded up."""
    kind, _, resource = name.partition(".")
    return str(math.ceil(quantity(container.get("resources", {}).get(kind, {}).get(resource, "0"))))


def quantity(text: str) -> float:
    """What Kubernetes writes as 250m, 2, or 3Gi."""
    number, unit = re.fullmatch(r"([\d.]+)(\w*)", text).groups()  # type: ignore[union-attr] # the API server checked it
    factors = {"": 1.0, "m": 1e-3, "k": 1e3, "M": 1e6, "G": 1e9, "Ki": 2.0**10, "Mi": 2.0**20, "Gi": 2.0**30}
    return float(number) * factors[unit]
