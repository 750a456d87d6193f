"""A browserless reviewer: signs in at the desk's page, keeps cookies, and sends forms' tokens back."""

import json
import re
from html import unescape
from http.cookiejar import CookieJar
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import HTTPCookieProcessor, HTTPErrorProcessor, Request, build_opener

PATIENCE_S = 30.0
PAGE = {"Accept": "text/html"}


class _AsItComes(HTTPErrorProcessor):
    """Follows no redirect, and raises for no status."""

    def http_response(self, request: Request, response: Any) -> Any:
        del request
        return response

    https_response = http_response


class DeskClient:
    """Somebody at one desk. `address` is `http://host:port`."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.cookies = CookieJar()
        self.csrf = ""
        self._opener = build_opener(HTTPCookieProcessor(self.cookies), _AsItComes)

    def sign_in(self, name: str = "Aoi") -> "DeskClient":
        """Sign in by name, where access is local."""
        _, _, page = self.ask("GET", "/sign-in", headers=PAGE)
        status, _, answer = self.post_form("/sign-in", {"csrf": hidden(page, "csrf"), "name": name})
        assert status == 303, (status, answer)
        self.csrf = str(self.get_json("/api/v1/session")[1]["csrf"])
        return self

    def ask(
        self, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> tuple[int, dict[str, str], str]:
        """Send a request, to the desk unless `path` is a whole address.

        Returns its status, headers (names in lower case), and body.
        """
        address = path if path.startswith("http") else self.address + path
        request = Request(address, body, headers or {}, method=method)
        try:
            with self._opener.open(request, timeout=PATIENCE_S) as answer:
                given = {name.lower(): value for name, value in answer.headers.items()}
                return answer.status, given, answer.read().decode()
        except HTTPError as error:  # what urllib itself does not understand
            with error:
                return error.code, {}, error.read().decode()

    def get(self, path: str) -> tuple[int, str]:
        """GET a page as a browser does."""
        status, _, body = self.ask("GET", path, headers=PAGE)
        return status, body

    def get_json(self, path: str) -> tuple[int, Any]:
        """GET from the API."""
        status, _, body = self.ask("GET", path)
        return status, json.loads(body)

    def post_form(self, path: str, fields: dict[str, str]) -> tuple[int, dict[str, str], str]:
        """POST a form, with this person's token unless `fields` has one."""
        body = urlencode({"csrf": self.csrf} | fields).encode()
        return self.ask("POST", path, body, PAGE | {"Content-Type": "application/x-www-form-urlencoded"})

    def post_json(self, path: str, content: object) -> tuple[int, Any]:
        """POST to the API."""
        headers = {"Content-Type": "application/json", "X-CSRF-Token": self.csrf}
        status, _, body = self.ask("POST", path, json.dumps(content).encode(), headers)
        return status, json.loads(body)


def hidden(page: str, name: str) -> str:
    """The value of a hidden field."""
    found = re.search(rf'<input type="hidden" name="{name}" value="([^"]*)"', page)
    assert found, page
    return unescape(found[1])
