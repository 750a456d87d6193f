"""The desk as a process, and somebody who is signed in."""

import os
import re
import shutil
import signal
import socket
import subprocess
import time
from contextlib import closing, suppress
from http import HTTPStatus
from http.cookiejar import CookieJar
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import HTTPCookieProcessor, Request, build_opener

from mimamori import process

PATIENCE_S = 1800.0


class Browser:
    """Somebody at a desk."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._opener = build_opener(HTTPCookieProcessor(CookieJar()))

    def sign_in(self, name: str) -> None:
        """Type a name, as people on this machine do."""
        page = self.get("/sign-in")
        token = re.search(r'name="csrf" value="([^"]+)"', page)
        fields = urlencode({"name": name, "csrf": token[1] if token else ""}).encode()
        form = Request(f"{self._address}/sign-in", fields, {"Origin": self._address})  # noqa: S310 - http
        self._opener.open(form).close()
        if "/sign-out" not in self.get("/"):
            raise SystemExit("signing in did not lead to the queue")

    def get(self, path: str) -> str:
        """The page at this path, as soon as there is one: a desk that is not ready says 503."""
        began = time.monotonic()
        while True:
            try:
                with closing(self._opener.open(self._address + path, timeout=60)) as answer:
                    return str(answer.read().decode())
            except HTTPError as error:
                if error.code != HTTPStatus.SERVICE_UNAVAILABLE or time.monotonic() - began > PATIENCE_S:
                    raise
            time.sleep(0.2)


class Desk:
    """The desk as a process. `table_key` seals its table."""

    def __init__(self, bootstrap: str, prefix: str, folder: Path, table_key: str) -> None:
        self.port, self.health_port = (_free_port() for _ in range(2))
        self._settings = {
            "bootstrap": bootstrap,
            "topic_prefix": prefix,
            "port": self.port,
            "health_port": self.health_port,
            "folder": folder,
            "table_keys": table_key,
        }
        self._folder = folder
        self._log = folder.with_suffix(".log")
        self._process: subprocess.Popen[bytes] | None = None
        self._probe = Browser(f"http://127.0.0.1:{self.health_port}")

    def start(self) -> None:
        """Start the process."""
        self._process = process.start(process.DESK, self._settings, self._log)

    def kill(self) -> None:
        """End it as a power cut would."""
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()

    def forget_table(self) -> None:
        """Delete the table from this disk, so that the next start reads all of it from Kafka."""
        for tables in self._folder.glob("v*"):
            shutil.rmtree(tables)

    def cases(self) -> int:
        """How many open cases it says that it has; -1 while it is not ready."""
        with suppress(OSError):
            lines = self._probe.get("/metrics").splitlines()
            if "mimamori_review_ready 1.0" in lines:
                found = (line for line in lines if line.startswith("mimamori_review_open_cases{"))
                return int(sum(float(line.rpartition(" ")[2]) for line in found))
        return -1

    def until(self, count: int) -> float:
        """Wait until it has so many cases. Return how many seconds that took."""
        began = time.perf_counter()
        while (found := self.cases()) != count:
            if time.perf_counter() - began > PATIENCE_S or (
                self._process and self._process.poll() is not None
            ):
                raise SystemExit(f"the desk has {found} of {count} cases:\n{self._log.read_text()[-2000:]}")
            time.sleep(0.2)
        return time.perf_counter() - began

    def processor_s(self) -> float:
        """How many seconds of a processor the process has had since its start; 0 where it is not Linux."""
        with suppress(OSError):
            used = Path(f"/proc/{self._process.pid if self._process else 0}/stat").read_text()
            user, system = used.rpartition(")")[2].split()[11:13]
            return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")
        return 0.0

    def browser(self, name: str) -> Browser:
        """Somebody who has just signed in."""
        browser = Browser(f"http://127.0.0.1:{self.port}")
        browser.sign_in(name)
        return browser


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])
