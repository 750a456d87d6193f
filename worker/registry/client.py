"""Asks a schema registry by Confluent's protocol, over HTTP: one connection a question, bounded in every way.

Confluent's own client would bring an HTTP and an OAuth library for five questions, and believes every 404
(docs/decisions/0018-a-schema-registry.md).
"""

import http.client
import json
import socket
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Final
from urllib.parse import quote, urlsplit

import msgspec

from schemas.tls_files import FileFault
from worker.errors import RegistryError
from worker.registry_access import RegistryAccess

LARGEST: Final = 1 << 20  # bytes of an answer; schemas of messages have a few thousand
MOST_REFERENCES: Final = 20
TYPE: Final = "application/vnd.schemaregistry.v1+json"

_UNKNOWN_SUBJECT: Final = 40401
_UNKNOWN_VERSION: Final = 40402
_UNKNOWN_SCHEMA: Final = 40403
_PIECE: Final = 1 << 16


class Registered(msgspec.Struct, frozen=True):
    """A schema of the registry. `documents` end with the schema itself, after those that it refers to.

    `fault` says why it cannot be used, and is empty where nothing speaks against it so far.
    """

    format: str
    documents: tuple[bytes, ...] = ()
    fault: str = ""


class Version(msgspec.Struct, frozen=True):
    """A schema as a subject has it."""

    version: int
    id: int


class _Reference(msgspec.Struct, frozen=True):
    subject: str
    version: int


class _Schema(msgspec.Struct, frozen=True):
    schema: str
    schemaType: str | None = None  # noqa: N815 - the protocol's name; absent for Avro
    references: list[_Reference] | None = None


class _Error(msgspec.Struct, frozen=True):
    error_code: int
    message: str = ""


class _Id(msgspec.Struct, frozen=True):
    id: int


class _Compatible(msgspec.Struct, frozen=True):
    is_compatible: bool
    messages: list[str] = []


class _TooLargeError(RegistryError):
    """The answer is larger than any schema of messages."""


class _HalfCharacterError(RegistryError):
    """The answer is a schema that no UTF-8 can hold."""


class _Answer(msgspec.Struct, frozen=True):
    status: int
    content: bytes

    @property
    def error(self) -> _Error | None:
        """What the registry says is wrong, where it says so as the protocol has it."""
        try:
            return msgspec.json.decode(self.content, type=_Error)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None


class RegistryClient:
    """A client of the registry of some settings. Each thread may use it."""

    def __init__(self, access: RegistryAccess) -> None:
        self._access = access
        parts = urlsplit(access.schema_registry_url)
        self._host, self._port = parts.hostname or "", parts.port
        self._base = parts.path.rstrip("/")
        self.place = f"{parts.scheme}://{parts.netloc}{self._base}"

    def formats(self) -> list[str]:
        """The formats that the registry knows: whether it is there and is one. Raises RegistryError."""
        answer = self._ask("GET", "/schemas/types")
        found: list[str] = self._decoded(answer, list[str])
        return found

    def schema(self, schema_id: int) -> Registered | None:
        """The schema with an id; None where the registry says that it has none. Raises RegistryError."""
        try:
            answer = self._ask("GET", f"/schemas/ids/{schema_id}")
            if self._says(answer, _UNKNOWN_SCHEMA):
                return None
            found: _Schema = self._decoded(answer, _Schema)
            kind = found.schemaType or "AVRO"
            if kind != "AVRO":  # of others, nobody needs what they refer to
                return Registered(kind, (found.schema.encode(),))
            documents: dict[tuple[str, int], bytes] = {}
            if not self._follow(found.references or [], documents):
                return Registered(
                    kind, fault=f"refers to more than {MOST_REFERENCES} others, or to one that is gone"
                )
            return Registered(kind, (*documents.values(), found.schema.encode()))
        except _HalfCharacterError:
            return Registered("", fault="holds half a character")
        except _TooLargeError:
            return Registered("", fault=f"is larger than {LARGEST >> 20} MiB")

    def version(self, subject: str, content: bytes, kind: str) -> Version | None:
        """The version that a subject has of this schema; None where it has none. Raises RegistryError."""
        answer = self._ask("POST", f"/subjects/{quote(subject, safe='')}", _body(content, kind))
        if self._says(answer, _UNKNOWN_SUBJECT, _UNKNOWN_SCHEMA):
            return None
        found: Version = self._decoded(answer, Version)
        return found

    def objection(self, subject: str, content: bytes, kind: str) -> str | None:
        """What the registry has against this schema as the next; None: nothing. Raises RegistryError."""
        path = f"/compatibility/subjects/{quote(subject, safe='')}/versions/latest?verbose=true"
        answer = self._ask("POST", path, _body(content, kind))
        if self._says(answer, _UNKNOWN_SUBJECT, _UNKNOWN_VERSION):
            return None
        if (said := self._refused(answer)) is not None:
            return said
        found: _Compatible = self._decoded(answer, _Compatible)
        return (
            None if found.is_compatible else "; ".join(found.messages) or "it is not compatible with the last"
        )

    def register(self, subject: str, content: bytes, kind: str) -> int | str:
        """Register a schema; returns its id, or what the registry has against it. Raises RegistryError."""
        answer = self._ask("POST", f"/subjects/{quote(subject, safe='')}/versions", _body(content, kind))
        if (said := self._refused(answer)) is not None:
            return said
        found: _Id = self._decoded(answer, _Id)
        return found.id

    def _follow(
        self, references: Sequence[_Reference], documents: dict[tuple[str, int], bytes], depth: int = 0
    ) -> bool:
        """Fetch what a schema refers to, each after its own references. False: too many, or one is gone."""
        for each in references:
            key = each.subject, each.version
            if key in documents:
                continue
            if len(documents) + depth >= MOST_REFERENCES:
                return False
            answer = self._ask("GET", f"/subjects/{quote(each.subject, safe='')}/versions/{each.version}")
            if self._says(answer, _UNKNOWN_SUBJECT, _UNKNOWN_VERSION):
                return False
            found: _Schema = self._decoded(answer, _Schema)
            if not self._follow(found.references or [], documents, depth + 1):
                return False
            documents[key] = found.schema.encode()
        return True

    def _ask(self, method: str, path: str, body: bytes | None = None) -> _Answer:
        deadline = time.monotonic() + self._access.schema_registry_timeout_s
        try:
            return self._asked(method, path, body, deadline)
        except FileFault as fault:
            raise RegistryError(fault.line("MIMAMORI_"), refused=True) from None
        except (OSError, http.client.HTTPException) as error:
            if isinstance(error, TimeoutError) or time.monotonic() >= deadline:
                raise self._away("does not answer in time") from None
            kind = getattr(error, "strerror", None) or type(error).__name__
            raise self._away(f"cannot be reached ({kind})") from None
        except ValueError as error:  # of http.client, about the address or a header: it would quote a secret
            said = f"cannot be asked ({type(error).__name__}): is MIMAMORI_SCHEMA_REGISTRY_URL right?"
            raise self._away(said, refused=True) from None

    def _asked(self, method: str, path: str, body: bytes | None, deadline: float) -> _Answer:
        connection = self._connection()
        headers = {"Accept": f"{TYPE}, application/json", "Content-Type": TYPE}
        if (authorization := self._access.authorization()) is not None:
            headers["Authorization"] = authorization
        # A server that drips gets no more time than a silent one: each socket call has a limit of its own.
        # The timer cuts off what has a socket; a name with several addresses may have none for long.
        timer = threading.Timer(deadline - time.monotonic(), _cut, (connection,))
        timer.daemon = True
        timer.start()
        try:
            connection.connect()
            _require_time(deadline)
            connection.request(method, self._base + path, body, headers)
            response = connection.getresponse()
            content = b""
            while piece := response.read1(_PIECE):
                _require_time(deadline)
                content += piece
                if len(content) > LARGEST:
                    raise self._too_large(response.status)
            _require_time(deadline)
            return _Answer(response.status, content)
        finally:
            timer.cancel()
            connection.close()

    def _connection(self) -> http.client.HTTPConnection:
        timeout = self._access.schema_registry_timeout_s
        context = self._access.registry_tls()
        if context is None:
            return http.client.HTTPConnection(self._host, self._port, timeout=timeout)
        return http.client.HTTPSConnection(self._host, self._port, timeout=timeout, context=context)

    def _says(self, answer: _Answer, *codes: int) -> bool:
        """Whether the registry itself says that something is not there. Any other 404 is a wrong address."""
        return answer.status == http.client.NOT_FOUND and (answer.error or _Error(0)).error_code in codes

    def _refused(self, answer: _Answer) -> str | None:
        """The registry's words against a schema; None where it has not refused one."""
        refusals = {http.client.CONFLICT, http.client.UNPROCESSABLE_ENTITY, http.client.INTERNAL_SERVER_ERROR}
        error = answer.error
        if answer.status not in refusals or error is None:
            return None
        return error.message or f"it answers {answer.status}"

    def _decoded(self, answer: _Answer, kind: Any) -> Any:
        if answer.status in {http.client.UNAUTHORIZED, http.client.FORBIDDEN}:
            raise self._away(
                f"answers {answer.status}: MIMAMORI_SCHEMA_REGISTRY_USER and its password, or the token, "
                "are not right, or may not read schemas",
                refused=True,
            )
        if answer.status == http.client.NOT_FOUND or http.client.MULTIPLE_CHOICES <= answer.status < 400:  # noqa: PLR2004 - redirects are not followed, as credentials would go along
            raise self._away(
                f"answers {answer.status}, which no registry does there: is MIMAMORI_SCHEMA_REGISTRY_URL its "
                "whole address (Apicurio: …/apis/ccompat/v7)?",
                refused=True,
            )
        if answer.status != http.client.OK:
            raise self._away(f"answers {answer.status}")
        try:
            return msgspec.json.decode(answer.content, type=kind)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            said = f"the schema registry {self.place} does not answer as a schema registry does"
            fault = _HalfCharacterError if _holds_half_a_character(answer.content) else RegistryError
            raise fault(said, refused=True) from None

    def _too_large(self, status: int) -> RegistryError:
        kind = _TooLargeError if status == http.client.OK else RegistryError  # a page of a proxy is no schema
        return kind(
            f"the schema registry {self.place} answers {status} with more than {LARGEST >> 20} MiB",
            refused=status == http.client.OK,
        )

    def _away(self, said: str, *, refused: bool = False) -> RegistryError:
        return RegistryError(f"the schema registry {self.place} {said}", refused=refused)


def _require_time(deadline: float) -> None:
    if time.monotonic() >= deadline:
        raise TimeoutError


def _cut(connection: http.client.HTTPConnection) -> None:
    if connection.sock is not None:
        with suppress(OSError):
            connection.sock.shutdown(socket.SHUT_RDWR)


def _holds_half_a_character(content: bytes) -> bool:
    """Whether it is a schema's answer, but for the escape of half a character."""
    try:
        found = json.loads(content)
        if isinstance(found, dict):
            str(found.get("schema")).encode()
    except UnicodeEncodeError:
        return True
    except (ValueError, RecursionError):
        return False
    return False


def _body(content: bytes, kind: str) -> bytes:
    return msgspec.json.encode({"schemaType": kind, "schema": content.decode()})
