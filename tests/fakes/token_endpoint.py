"""A token endpoint, as RFC 6749 has it: it gives tokens for client credentials, and counts them."""

import base64
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs

CLIENT_SECRET = "s3cret of a client"  # noqa: S105 - of an endpoint that lives as long as a test


class TokenEndpoint:
    """What it answers, and what it was asked."""

    def __init__(self, token_for: Callable[[str], str]) -> None:
        self.token_for = token_for
        self.secret = CLIENT_SECRET
        self.url = ""
        self.asked: list[dict[str, str]] = []

    def answer(self, authorization: str, form: dict[str, str]) -> tuple[int, dict[str, Any]]:
        """Status and content for one request."""
        kind, _, coded = authorization.partition(" ")
        client, _, secret = base64.b64decode(coded).decode().partition(":")
        self.asked.append(form)
        if kind != "Basic" or secret != self.secret:
            return 401, {"error": "invalid_client"}
        return 200, {"access_token": self.token_for(client), "token_type": "Bearer", "expires_in": 300}


@contextmanager
def token_endpoint(token_for: Callable[[str], str]) -> Iterator[TokenEndpoint]:
    """Serve it on loopback in a thread."""
    endpoint = TokenEndpoint(token_for)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            form = {name: values[-1] for name, values in parse_qs(body).items()}
            status, content = endpoint.answer(self.headers.get("Authorization", ""), form)
            answer = json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer[:20])
            time.sleep(0.05)  # a long answer comes in several pieces; so does this one
            self.wfile.write(answer[20:])

        def log_message(self, *_: Any) -> None:
            """Nothing: the test says what matters."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        endpoint.url = f"http://127.0.0.1:{server.server_port}/token"
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield endpoint
        finally:
            server.shutdown()
            thread.join()
