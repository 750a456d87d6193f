"""A real schema registry: Apicurio, from Maven Central, on this machine and in memory. 159 MB once.

It runs where SCHEMA_REGISTRY=apicurio, as `make test-registry` sets it: with it, a start takes about 8 s of
processor time and 300 MB of memory, more than all other tests of the registry together.
"""

import json
import os
import shutil
import subprocess
import tempfile
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock

from mimamori.sandbox.java import find_java, home
from mimamori.sandbox.server import HOST, Server, choose_port
from tests.fakes.schema_registry import schema_registry

VERSION = "3.3.3"
PATH = "/apis/ccompat/v7"


@contextmanager
def registry_at_hand() -> Iterator[str]:
    """The address of the registry that SCHEMA_REGISTRY names: a small one, unless it is `apicurio`."""
    if os.environ.get("SCHEMA_REGISTRY") == "apicurio":
        with apicurio() as url:
            yield url
    else:
        with schema_registry() as registry:
            yield registry.url


@contextmanager
def apicurio() -> Iterator[str]:
    """The address of a new registry, which refuses what is not compatible backward."""
    port, management = choose_port(0, ""), choose_port(0, "")
    with tempfile.TemporaryDirectory(prefix="apicurio-") as scratch:
        log = Path(scratch, "log")
        settings = {
            "QUARKUS_HTTP_HOST": HOST,
            "QUARKUS_HTTP_PORT": str(port),
            "QUARKUS_MANAGEMENT_HOST": HOST,
            "QUARKUS_MANAGEMENT_PORT": str(management),
        }
        command = [
            "env",
            *(f"{name}={value}" for name, value in settings.items()),
            str(find_java()),
            *("-Xmx256m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"),
            *("-jar", str(_program() / "quarkus-run.jar")),
        ]
        server = Server("Apicurio", command, log, Path(scratch))
        try:
            url = f"http://{HOST}:{port}{PATH}"
            server.await_ready(lambda: bool(_ask(f"{url}/schemas/types")), lambda tail: tail[-2000:])
            _ask(f"{url}/config", {"compatibility": "BACKWARD"})  # its default is to take anything
            yield url
        finally:
            server.stop()


def _ask(url: str, content: object = None) -> object:
    body = None if content is None else json.dumps(content).encode()
    request = urllib.request.Request(url, body, method="GET" if body is None else "PUT")
    request.add_header("Content-Type", "application/vnd.schemaregistry.v1+json")
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.load(answer)


def _program() -> Path:
    """The unpacked program, downloaded first where it is not there yet."""
    from jgo.maven import MavenContext  # noqa: PLC0415 - imports slowly

    folder = home() / f"apicurio-{VERSION}"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.with_suffix(".lock")):
        if not folder.exists():
            with tempfile.TemporaryDirectory(dir=folder.parent, prefix="download-") as scratch:
                maven = MavenContext(repo_cache=Path(scratch, "maven"))
                project = maven.project("io.apicurio", "apicurio-registry-app").at_version(VERSION)
                packed = project.artifact(classifier="all", packaging="tar.gz").resolve()
                unpacked = Path(scratch, "unpacked")
                unpacked.mkdir()
                # Python's own way takes a filter in some 3.11 alone, and complains without one in 3.12.
                subprocess.run(["tar", "-xzf", packed, "-C", unpacked], check=True)  # noqa: S607 - whichever tar is here
                shutil.move(unpacked, folder)
    return folder
