"""Where spans go: an OTLP endpoint over HTTP, with its credentials. Checked when the settings are read."""

import ipaddress
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import SplitResult, urlsplit

PATH: Final = "/v1/traces"
# RFC 9110's token, and a value without control characters: nothing in it can begin another header.
_HEADER: Final = re.compile(
    r"([!#$%&'*+.^_`|~0-9A-Za-z-]+)=([\x21-\x2b\x2d-\x7e](?:[\x20-\x2b\x2d-\x7e]*[\x21-\x2b\x2d-\x7e])?)"
)


@dataclass(frozen=True)
class Destination:
    """A collector: its whole URL, headers that are sent along, and a PEM file of authorities."""

    url: str
    headers: dict[str, str]
    ca: Path | None


def destination(endpoint: str, headers: str, ca: Path | None) -> Destination | None:
    """Read the three settings; None where `endpoint` is empty, and nothing is sent.

    `endpoint` is the collector's base, or its URL with /v1/traces. `headers` are `name=value`, separated by
    commas. Raises ValueError, whose message quotes no value: one is wrong, or a credential would travel in
    plain text to another machine.
    """
    if not endpoint:
        if headers or ca:
            raise ValueError("TRACES_HEADERS and TRACES_CA are for a TRACES_ENDPOINT: set it, or remove them")
        return None
    parts = _address(endpoint)
    if parts is None or not parts.hostname or parts.query or parts.fragment:
        raise ValueError(
            "TRACES_ENDPOINT must be a collector's address for OTLP over HTTP: http://collector:4318"
        )
    if parts.username is not None or parts.password is not None:
        raise ValueError("TRACES_ENDPOINT must hold no credentials: put them into TRACES_HEADERS")
    said = dict(map(_header, filter(None, headers.split(","))))
    if said and parts.scheme == "http" and not _here(parts.hostname):
        raise ValueError(
            "TRACES_HEADERS would travel in plain text to another machine: use an https TRACES_ENDPOINT"
        )
    if ca is not None and parts.scheme != "https":
        raise ValueError("TRACES_CA is for an https TRACES_ENDPOINT")
    base = endpoint.rstrip("/")
    return Destination(base if base.endswith(PATH) else base + PATH, said, ca)


def _address(url: str) -> SplitResult | None:
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return None
    return parts if parts.scheme in {"http", "https"} else None


def _header(pair: str) -> tuple[str, str]:
    found = _HEADER.fullmatch(pair.strip())
    if found is None:
        raise ValueError("TRACES_HEADERS must be name=value, separated by commas")
    return found[1].lower(), found[2]


def _here(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
