"""A small schema registry in memory, which speaks as much of Confluent's protocol as clients of messages use.

It passes the contract tests that Apicurio passes. Of Avro it checks compatibility backward, field by field;
of other formats it checks nothing. Beyond that, it can be told to be away, to be slow, and to lie.
"""

import json
import re
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

Answer = tuple[int, Any]  # a status, and what is sent as JSON; or bytes, which are sent as they are

UNKNOWN_SUBJECT: Answer = (404, {"error_code": 40401, "message": "Subject not found."})
UNKNOWN_SCHEMA: Answer = (404, {"error_code": 40403, "message": "Schema not found."})
LARGEST_ID = 2**31 - 1
NOWHERE: Answer = (404, {"error_code": 404, "message": "HTTP 404 Not Found"})


@dataclass
class FakeRegistry:
    """What it holds, what it was asked, and how it is disturbed."""

    url: str = ""
    schemas: dict[int, dict[str, Any]] = field(default_factory=dict)  # id -> the answer's content
    subjects: dict[str, list[int]] = field(default_factory=dict)  # subject -> ids, by version
    credentials: str | None = None  # the only Authorization header that is let in
    status: int | None = None  # answers everything so
    lie: Callable[[str], Answer | None] = lambda _path: None  # None: the truth
    slow: threading.Event = field(default_factory=threading.Event)  # it answers once this is set
    asked: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.slow.set()

    def add(self, schema: object, kind: str = "AVRO", **more: object) -> int:
        """A schema without a subject, which nothing has checked; returns its id."""
        number = len(self.schemas) + 1
        text = schema if isinstance(schema, str) else json.dumps(schema)
        self.schemas[number] = {"schema": text, **({} if kind == "AVRO" else {"schemaType": kind}), **more}
        return number

    def answer(self, method: str, path: str, authorization: str | None, content: dict[str, Any]) -> Answer:
        """The answer to one request."""
        if self.status is not None:
            return self.status, {"error_code": self.status * 100 + 1, "message": "disturbed"}
        if self.credentials is not None and authorization != self.credentials:
            return 401, {"error_code": 401, "message": "Unauthorized"}
        return self.lie(path) or self._truth(method, path, content)

    def _truth(self, method: str, path: str, content: dict[str, Any]) -> Answer:
        if path == "/schemas/types":
            return 200, ["JSON", "PROTOBUF", "AVRO"]
        if found := re.fullmatch(r"/schemas/ids/(\d+)", path):
            return self._schema(int(found[1]))
        if found := re.fullmatch(r"/subjects/([^/]+)/versions/(\d+|latest)", path):
            return self._version(unquote(found[1]), found[2])
        if found := re.fullmatch(r"/compatibility/subjects/([^/]+)/versions/latest", path):
            return self._compatible(unquote(found[1]), content)
        if method == "POST" and (found := re.fullmatch(r"/subjects/([^/]+)(/versions)?", path)):
            return (self._register if found[2] else self._look_up)(unquote(found[1]), content)
        return NOWHERE

    def _schema(self, number: int) -> Answer:
        if number > LARGEST_ID:
            return NOWHERE  # Confluent's takes a Java Integer there, and so has no such address
        known = self.schemas.get(number)
        return UNKNOWN_SCHEMA if known is None else (200, known)

    def _version(self, subject: str, version: str) -> Answer:
        ids = self.subjects.get(subject)
        if not ids:
            return UNKNOWN_SUBJECT
        number = len(ids) if version == "latest" else int(version)
        if not 0 < number <= len(ids):
            return 404, {"error_code": 40402, "message": "Version not found."}
        known = self.schemas[ids[number - 1]]
        return 200, {"subject": subject, "version": number, "id": ids[number - 1], **known}

    def _look_up(self, subject: str, content: dict[str, Any]) -> Answer:
        ids = self.subjects.get(subject)
        if not ids:
            return UNKNOWN_SUBJECT
        for version, number in enumerate(ids, 1):
            if _same(self.schemas[number], content):
                return 200, {"subject": subject, "version": version, "id": number, **self.schemas[number]}
        return UNKNOWN_SCHEMA

    def _compatible(self, subject: str, content: dict[str, Any]) -> Answer:
        ids = self.subjects.get(subject)
        if not ids:
            return UNKNOWN_SUBJECT
        broken = _breaks(self.schemas[ids[-1]], content)
        return 200, {"is_compatible": not broken, "messages": broken}

    def _register(self, subject: str, content: dict[str, Any]) -> Answer:
        try:
            json.loads(content["schema"])
        except ValueError:
            return 422, {"error_code": 42201, "message": "Invalid schema"}
        status, known = self._look_up(subject, content)
        if status == 200:
            return 200, {"id": known["id"]}
        ids = self.subjects.setdefault(subject, [])
        if ids and (broken := _breaks(self.schemas[ids[-1]], content)):
            return 409, {"error_code": 409, "message": "; ".join(broken)}
        same = next((number for number, known in self.schemas.items() if _same(known, content)), None)
        more = {"references": content["references"]} if content.get("references") else {}
        kind = content.get("schemaType") or "AVRO"
        ids.append(same or self.add(content["schema"], kind, **more))
        return 200, {"id": ids[-1]}


def _same(known: dict[str, Any], content: dict[str, Any]) -> bool:
    if known.get("schemaType", "AVRO") != (content.get("schemaType") or "AVRO"):
        return False
    return bool(json.loads(known["schema"]) == json.loads(content["schema"]))


def _breaks(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """Why readers with the new schema could not read what was written with the old one."""
    if old.get("schemaType", "AVRO") != (new.get("schemaType") or "AVRO"):
        return ["another format than before"]
    if "schemaType" in old:
        return []
    before, after = (
        {each["name"]: each for each in json.loads(schema["schema"])["fields"]} for schema in (old, new)
    )
    return [
        f"field {name} has another type, or no default"
        for name, each in after.items()
        if (each["type"] != before[name]["type"] if name in before else "default" not in each)
    ]


@contextmanager
def schema_registry(tls: ssl.SSLContext | None = None) -> Iterator[FakeRegistry]:
    """Serve one on loopback, in threads."""
    registry = FakeRegistry()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer({})

        def do_POST(self) -> None:
            self._answer(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

        def _answer(self, content: dict[str, Any]) -> None:
            path = urlsplit(self.path).path
            registry.asked.append(path)
            registry.slow.wait(60)
            status, said = registry.answer(self.command, path, self.headers.get("Authorization"), content)
            sent = said if isinstance(said, bytes) else json.dumps(said).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/vnd.schemaregistry.v1+json")
            self.send_header("Content-Length", str(len(sent)))
            self.end_headers()
            self.wfile.write(sent)

        def log_message(self, *_: Any) -> None:
            """Nothing: the test says what matters."""

    class Server(ThreadingHTTPServer):
        def handle_error(self, *_: Any) -> None:
            """Clients that hang up are part of the tests."""

    with Server(("127.0.0.1", 0), Handler) as server:
        if tls is not None:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
        registry.url = f"http{'s' if tls else ''}://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield registry
        finally:
            registry.slow.set()
            server.shutdown()
            thread.join()
