"""The Kubernetes API, as far as tests and kubelet use it: JSON over HTTPS, with a client certificate."""

import http.client
import json
import ssl
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlencode, urlsplit

from tests.cluster.certificates import Certificates

Object = dict[str, Any]

_ANSWER_S = 20.0
_NOT_FOUND, _CONFLICT = 404, 409


class ApiError(Exception):
    """The API server refused; its own words."""

    def __init__(self, status: int, said: str) -> None:
        super().__init__(f"{status}: {said}")
        self.status = status


class Api:
    """Asks an API server as one user. Paths are the API's own: /api/v1/pods."""

    def __init__(self, server: str, certificates: Certificates, user: str) -> None:
        self._address = urlsplit(server).netloc
        self._tls = ssl.create_default_context(cafile=str(certificates.path("ca.crt")))
        self._tls.load_cert_chain(certificates.path(f"{user}.crt"), certificates.path(f"{user}.key"))

    def get(self, path: str, **asked: str) -> Object:
        """One object, or a list. Raises ApiError."""
        return self._ask("GET", path, asked=asked)

    def find(self, path: str) -> Object | None:
        """One object, None where there is none. Raises ApiError."""
        try:
            return self.get(path)
        except ApiError as error:
            if error.status == _NOT_FOUND:
                return None
            raise

    def is_ready(self) -> bool:
        """Whether the API server is ready to serve. Raises OSError: nothing listens yet."""
        try:
            self._send("GET", "/readyz")
        except ApiError:
            return False
        return True

    def items(self, path: str, **asked: str) -> list[Object]:
        """The objects of a list. Raises ApiError."""
        found: list[Object] = self.get(path, **asked)["items"]
        return found

    def create(self, path: str, body: Mapping[str, Any]) -> Object:
        """Create an object in a collection. Raises ApiError: also where it already exists."""
        return self._ask("POST", path, body)

    def patch_status(self, path: str, body: Mapping[str, Any]) -> None:
        """Merge into an object's status, unless it is gone, or another one by now. Raises ApiError."""
        try:
            self._ask("PATCH", f"{path}/status", body, kind="application/strategic-merge-patch+json")
        except ApiError as error:
            if error.status not in {_NOT_FOUND, _CONFLICT}:
                raise

    def delete(self, path: str, body: Mapping[str, Any] | None = None) -> None:
        """Delete an object, where it is there still. Raises ApiError."""
        try:
            self._ask("DELETE", path, body)
        except ApiError as error:
            if error.status not in {_NOT_FOUND, _CONFLICT}:
                raise

    def watch(self, path: str, since: str, seconds: int) -> Iterator[tuple[str, Object]]:
        """Changes since a resourceVersion: ADDED, MODIFIED, DELETED or ERROR, and what. Ends in time."""
        asked = {"watch": "1", "resourceVersion": since, "timeoutSeconds": str(seconds)}
        connection = http.client.HTTPSConnection(self._address, timeout=seconds + 5, context=self._tls)
        try:
            connection.request("GET", f"{path}?{urlencode(asked)}")
            answer = connection.getresponse()
            while line := answer.readline():
                event = json.loads(line)
                yield event["type"], event["object"]
        finally:
            connection.close()

    def _ask(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        *,
        kind: str = "application/json",
        asked: Mapping[str, str] | None = None,
    ) -> Object:
        query = f"?{urlencode(asked)}" if asked else ""
        found: Object = json.loads(self._send(method, path + query, body, kind))
        return found

    def _send(
        self, method: str, path: str, body: Mapping[str, Any] | None = None, kind: str = "application/json"
    ) -> bytes:
        connection = http.client.HTTPSConnection(self._address, timeout=_ANSWER_S, context=self._tls)
        try:
            sent = None if body is None else json.dumps(body)
            connection.request(method, path, sent, {"Content-Type": kind})
            answer = connection.getresponse()
            told = answer.read()
            if not http.client.OK <= answer.status < http.client.MULTIPLE_CHOICES:
                raise ApiError(answer.status, _said(told))
            return told
        finally:
            connection.close()


def _said(told: bytes) -> str:
    try:
        return str(json.loads(told)["message"])
    except (ValueError, KeyError):
        return told.decode(errors="replace")
