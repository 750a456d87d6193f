"""What pods refer to by name: the keys of ConfigMaps and Secrets."""

from base64 import b64decode
from typing import Literal

from tests.cluster.api import Api

Kind = Literal["configmap", "secret"]


class NoReferenceError(Exception):
    """What a pod refers to does not exist (yet)."""


def read(api: Api, namespace: str, kind: Kind, name: str, *, optional: bool = False) -> dict[str, bytes]:
    """All keys with their values. Raises NoReferenceError: it must exist and does not; ApiError."""
    found = api.find(f"/api/v1/namespaces/{namespace}/{kind}s/{name}")
    if found is None and not optional:
        raise NoReferenceError(f'{kind} "{name}" not found')
    data = (found or {}).get("data") or {}
    return {key: b64decode(text) if kind == "secret" else text.encode() for key, text in data.items()}
