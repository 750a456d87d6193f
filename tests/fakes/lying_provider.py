"""An identity provider that signs whatever a test tells it to: wrong issuers, old tokens, no signature."""

import threading
import time
from base64 import urlsafe_b64encode
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import msgspec
from joserfc import jwk, jws, jwt

CLIENT = "desk"


class LyingProvider:
    """What it answers can be changed between two requests. `now` is its clock."""

    def __init__(self) -> None:
        self.key = jwk.generate_key("EC", "P-256", {"kid": "one"})
        self.published: list[jwk.Key] = [self.key]
        self.issuer = ""
        self.metadata: dict[str, object] = {}
        self.claims: dict[str, Any] = {}
        self.skew_s = 0.0
        self.token: str | None = None
        self.token_status = 200
        self.nonce = ""
        self.asked_for_keys = 0

    def signed(self, algorithm: str = "ES256", key: jwk.Key | None = None, **claims: Any) -> str:
        """A token as it should be, but for these claims (None leaves one out), the algorithm and the key."""
        now = time.time() + self.skew_s
        content = {
            "iss": self.issuer,
            "aud": CLIENT,
            "sub": "u-1",
            "name": "Aoi",
            "roles": ["mimamori-reviewer"],
            "nonce": self.nonce,
            "iat": int(now),
            "exp": int(now + 300),
        } | claims
        content = {name: value for name, value in content.items() if value is not None}
        key = key or self.key
        header = {"alg": algorithm, "kid": key.kid}
        if algorithm == "none":
            return unsigned(header, content)
        registry = jws.JWSRegistry(algorithms=[algorithm])
        return jwt.encode(header, content, key, registry=registry)

    def answer(self, method: str, path: str) -> tuple[int, object]:
        """What it answers now."""
        endpoint = urlsplit(path).path
        if endpoint.endswith("/.well-known/openid-configuration"):
            return 200, {
                "issuer": self.issuer,
                "authorization_endpoint": f"{self.issuer}/auth",
                "token_endpoint": f"{self.issuer}/token",
                "jwks_uri": f"{self.issuer}/keys",
            } | self.metadata
        if endpoint == "/keys":
            self.asked_for_keys += 1
            return 200, {"keys": [key.as_dict(private=False) for key in self.published]}
        if method == "POST" and endpoint == "/token":
            return self.token_status, {"id_token": self.token or self.signed(**self.claims)}
        return 404, {}


def unsigned(header: Mapping[str, object], claims: Mapping[str, object]) -> str:
    """A token without a signature, as nobody should make one."""
    parts = (urlsafe_b64encode(msgspec.json.encode(part)).rstrip(b"=").decode() for part in (header, claims))
    return ".".join([*parts, ""])


@contextmanager
def lying_provider() -> Iterator[LyingProvider]:
    """Serve it in a thread."""
    provider = LyingProvider()

    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            status, content = provider.answer(self.command, self.path)
            body = msgspec.json.encode(content)
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = _answer  # noqa: N815 - the names that http.server looks for

        def log_message(self, *_: Any) -> None:
            """Nothing: the test says what matters."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        provider.issuer = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield provider
        finally:
            server.shutdown()
            thread.join()


def nonce_of(address: str) -> tuple[str, str]:
    """State and nonce of a way to the provider."""
    asked = parse_qs(urlsplit(address).query)
    return asked["state"][0], asked["nonce"][0]
