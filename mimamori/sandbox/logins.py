"""Users of a secured sandbox: one for each part with exactly its rights, and files with their settings."""

import json
import os
import secrets
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mimamori.sandbox import Sandbox
from mimamori.sandbox.secured import login
from schemas.rights import PARTS, Names, Part, rights_of
from worker.kafka.acls import admit


def make_logins(sandbox: Sandbox, topic_prefix: str) -> dict[Part, Path]:
    """Make a user for each part, and write the settings that it logs in with, for its owner alone to read.

    A shell takes them with `set -a; . FILE`. Raises KafkaException: the sandbox is not secured.
    """
    names = Names(topic_prefix=topic_prefix)
    passwords = {part: secrets.token_hex(16) for part in PARTS}
    admit(
        sandbox.admin_config,
        {_user(part): password for part, password in passwords.items()},
        {_user(part): rights_of(part, names) for part in PARTS},
    )
    folder = sandbox.folder / "logins"
    folder.mkdir(mode=0o700, exist_ok=True)
    files = {part: folder / f"{part}.env" for part in PARTS}
    for part, file in files.items():
        client = login(_user(part), passwords[part])
        settings = (_desk if part == "desk" else _worker)(sandbox.bootstrap, topic_prefix, client)
        lines = "".join(f"{name}={shlex.quote(value)}\n" for name, value in settings.items())
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as written:
            written.write(lines)
    return files


def _user(part: Part) -> str:
    return f"mimamori-{part}"


def _worker(bootstrap: str, topic_prefix: str, client: Mapping[str, Any]) -> dict[str, str]:
    return {
        "MIMAMORI_BOOTSTRAP": bootstrap,
        "MIMAMORI_TOPIC_PREFIX": topic_prefix,
        "MIMAMORI_KAFKA": json.dumps(dict(client)),
    }


def _desk(bootstrap: str, topic_prefix: str, client: Mapping[str, Any]) -> dict[str, str]:
    return {
        "MIMAMORI_REVIEW_BOOTSTRAP": bootstrap,
        "MIMAMORI_REVIEW_TOPIC_PREFIX": topic_prefix,
        **{f"MIMAMORI_REVIEW_{name.replace('.', '_').upper()}": str(value) for name, value in client.items()},
    }
