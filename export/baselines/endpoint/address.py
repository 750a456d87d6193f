"""Where texts are sent, whether that was agreed to, and the key, which nothing ever prints."""

import ipaddress
import os
import re
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import msgspec

from engine.errors import SettingsError

_ASKED: Final = "/chat/completions"
_HOST: Final = re.compile(r"[a-z0-9._-]+|[0-9a-f:.]+")
_KEY: Final = re.compile(r"[\x21-\x7e]{1,4096}")


class Address(msgspec.Struct, frozen=True):
    """Where requests go. `place` is host and port as errors and reports show them."""

    url: str
    host: str
    place: str
    encrypted: bool


def address_of(url: str, consent: str | None) -> Address:
    """Read the endpoint's base URL; require that `consent` names its host.

    `consent` is "host" or "host:port". For http to another machine, where others can read the texts on their
    way, it must be spelled "http://host:port".

    Raises SettingsError: it is no such URL, or the consent is missing or names another place.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        parts, port = urlsplit(""), None
    if parts.scheme not in {"http", "https"} or not _HOST.fullmatch(parts.hostname or ""):
        raise SettingsError("the endpoint must be a URL such as https://api.openai.com/v1")
    if parts.username is not None or parts.query or parts.fragment:
        raise SettingsError(
            f"the endpoint at {parts.hostname} must have no user, ?query or #fragment: give the key "
            "in a file or an environment variable"
        )
    host = parts.hostname or ""
    bracketed = f"[{host}]" if ":" in host else host
    place = bracketed if port is None else f"{bracketed}:{port}"
    encrypted = parts.scheme == "https"
    needed = place if encrypted or _here(host) else f"http://{place}"
    if consent is None:
        raise SettingsError(
            f"a baseline would send every message to {place}: agree with --send-texts-to {needed}"
        )
    if consent.lower().rstrip("/") not in {needed, *({bracketed} if needed == place else ())}:
        raise SettingsError(
            f"--send-texts-to does not name {needed}, where the endpoint is"
            + ("" if needed == place else " (without TLS, anyone on the way can read the messages)")
        )
    path = parts.path.rstrip("/")
    asked = path if path.endswith(_ASKED) else path + _ASKED
    return Address(f"{parts.scheme}://{place}{asked}", host, place, encrypted)


class Key:
    """A key for the endpoint. It has no readable form but the header that carries it."""

    __slots__ = ("_secret",)

    def __init__(self, secret: str) -> None:
        """Raises SettingsError: it is empty, or has characters that a header cannot carry."""
        if not _KEY.fullmatch(secret):
            raise SettingsError("the endpoint's key must be one line of printable characters without spaces")
        self._secret = secret

    def __repr__(self) -> str:
        return "Key(…)"

    def __reduce__(self) -> str:
        raise TypeError("a key is not written anywhere")

    @property
    def header(self) -> dict[str, str]:
        """The header of a request."""
        return {"Authorization": f"Bearer {self._secret}"}


def read_key(variable: str | None, file: Path | None) -> Key | None:
    """The key from the environment variable or file that was named; None where neither was.

    Raises SettingsError: both were named, there is none in it, or it cannot be one.
    """
    if variable is not None and file is not None:
        raise SettingsError("give the endpoint's key in a file or in a variable, not in both")
    if variable is not None:
        if not os.environ.get(variable):
            raise SettingsError("the environment variable that should hold the endpoint's key is not set")
        return Key(os.environ[variable].strip())
    if file is None:
        return None
    try:
        return Key(file.read_text().strip())
    except (OSError, UnicodeDecodeError):
        raise SettingsError(f"cannot read the endpoint's key from {file}") from None


def _here(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
