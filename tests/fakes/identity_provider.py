"""A real identity provider on loopback: oidc-provider, which is certified by the OpenID Foundation."""

import json
import re
import select
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from html import unescape
from pathlib import Path
from urllib.parse import urljoin

from tests.fakes.desk_client import PAGE, DeskClient
from tests.fakes.node import node_with

DRIVER = Path(__file__).with_name("oidc_provider")
CLIENT_SECRET = "a secret with : and % and + in it"  # noqa: S105 - of a provider that lives as long as a test
ACCOUNTS = {
    "u-1": {"name": "Aoi Mori", "roles": ["mimamori-reviewer", "staff"]},
    "u-2": {"name": "Ben Adler", "roles": ["mimamori-lead"]},
    "u-3": {"name": "Chi", "roles": ["mimamori-auditor"]},
    "u-4": {"name": "Dag", "roles": ["staff"]},
}
SILENT_S = 45.0
_STEPS = 20


def free_port() -> int:
    """A port that nothing listens on now."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@contextmanager
def identity_provider(desk: str, port: int | None = None) -> Iterator[str]:
    """Run it for a desk at this address; yields the issuer. Its clients are `desk` and `public-desk`."""
    node, folder = node_with(DRIVER)
    port = port or free_port()
    asked = {
        "port": port,
        "client_secret": CLIENT_SECRET,
        "redirect_uri": f"{desk}/oidc/callback",
        "signed_out_uri": f"{desk}/signed-out",
        "back_channel_uri": f"{desk}/oidc/back-channel-logout",
        "accounts": ACCOUNTS,
    }
    command = [node, str(folder / "provider.mjs"), json.dumps(asked)]
    provider = _listening(command) or _listening(command)
    assert provider is not None, "node did not say that it listens, twice"
    with provider:
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            provider.kill()


def _listening(command: list[str]) -> "subprocess.Popen[bytes] | None":
    """Start it; None where it says nothing for a while: in a whole run, node once did so for five minutes."""
    provider = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert provider.stdout is not None
    if select.select([provider.stdout], [], [], SILENT_S)[0] and b"listening" in provider.stdout.readline():
        return provider
    with provider:  # which closes its pipe
        provider.kill()
    return None


def walk(
    browser: DeskClient, start: str, answers: dict[str, str], stop_before: str = "nowhere"
) -> tuple[int, str, str]:
    """Follow redirects from `start`, and fill in and send each form of another server than the desk.

    Returns status, address and body of the first page of the desk, or what came before an address with
    `stop_before` in it. What a form asks for is in `answers`.
    """
    address, status, body = start, 0, ""
    form: dict[str, str] | None = None
    for _ in range(_STEPS):
        if form is None:
            status, headers, body = browser.ask("GET", address, headers=PAGE)
        else:
            status, headers, body = browser.post_form(address, form)
        form = None
        if 300 <= status < 400:
            address = urljoin(address, headers["location"])
            if stop_before in address:
                return status, address, body
        elif address.startswith(browser.address):
            if not (onward := re.search(r'http-equiv="refresh" content="0; url=([^"]+)"', body)):
                return status, address, body
            address = urljoin(address, unescape(onward[1]))
        else:
            address, form = _filled_in(address, body, answers)
    raise AssertionError(f"lost on the way: {status} {address}\n{body}")


def _filled_in(address: str, page: str, answers: dict[str, str]) -> tuple[str, dict[str, str]]:
    found = re.search(r'<form[^>]*\baction="([^"]+)"', page)
    assert found, page
    form = {"csrf": ""}
    for field in re.findall(r"<(?:input|button)[^>]*>", page):
        said = dict(re.findall(r'(\w+)="([^"]*)"', field))
        if name := said.get("name"):
            form[name] = answers.get(name, unescape(said.get("value", "")))
    return urljoin(address, unescape(found[1])), form


def sign_in(browser: DeskClient, account: str, path: str = "/") -> tuple[int, str, str]:
    """Open a page of the desk, and sign in on the way. Returns what `walk` returns."""
    status, address, body = walk(browser, browser.address + path, {"login": account, "password": "any"})
    if status == 200:
        browser.csrf = str(browser.get_json("/api/v1/session")[1].get("csrf", ""))
    return status, address, body
