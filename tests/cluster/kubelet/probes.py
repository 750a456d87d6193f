"""Asks a container's probes, as often as they say, until it ends."""

import http.client
import ssl
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

Ask = Callable[[Mapping[str, Any]], bool]

KINDS: Final = ("startup", "readiness", "liveness")
_PERIOD_S, _TIMEOUT_S, _FAILURES = 10, 1, 3
_GOOD = range(200, 400)


@dataclass
class _Probe:
    """One probe, and what it said last."""

    spec: Mapping[str, Any]
    due: float
    good: int = field(default=0)
    bad: int = field(default=0)

    def take(self, *, good: bool) -> None:
        self.good, self.bad = (self.good + 1, 0) if good else (0, self.bad + 1)
        self.due = time.monotonic() + self.spec.get("periodSeconds", _PERIOD_S)

    @property
    def passed(self) -> bool:
        return self.good >= int(self.spec.get("successThreshold", 1))

    @property
    def failed(self) -> bool:
        return self.bad >= int(self.spec.get("failureThreshold", _FAILURES))


class Prober:
    """The probes of a container that has just started. They are asked on a thread of their own.

    `is_started`, `is_ready` and `failed` (the probe for which the container must be restarted) say how it is.
    """

    def __init__(self, container: Mapping[str, Any], ask: Ask) -> None:
        now = time.monotonic()
        self._probes = {
            kind: _Probe(spec, now + spec.get("initialDelaySeconds", 0))
            for kind in KINDS
            if (spec := container.get(f"{kind}Probe"))
        }
        self._ask = ask
        self._ended = threading.Event()
        self.is_started = "startup" not in self._probes
        self.is_ready = self.is_started and "readiness" not in self._probes
        self.failed: str | None = None
        if self._probes:
            threading.Thread(target=self._run, name=f"probes of {container['name']}", daemon=True).start()

    def stop(self) -> None:
        """Ask no more: the container has ended."""
        self._ended.set()
        self.is_ready = False

    def _run(self) -> None:
        while not self._ended.is_set() and not self.failed:
            kinds = KINDS[1:] if self.is_started else KINDS[:1]
            probes = [(kind, self._probes[kind]) for kind in kinds if kind in self._probes]
            if not probes:
                return
            kind, probe = min(probes, key=lambda each: each[1].due)
            if not self._ended.wait(max(0.0, probe.due - time.monotonic())):
                good = self._ask(probe.spec)
                if not self._ended.is_set():
                    probe.take(good=good)
                    self._conclude(kind, probe)

    def _conclude(self, kind: str, probe: _Probe) -> None:
        if kind == "readiness":
            self.is_ready = probe.passed or (self.is_ready and not probe.failed)
        elif probe.failed:
            self.failed = kind
        elif kind == "startup" and probe.passed:
            self.is_started = True
            self.is_ready = "readiness" not in self._probes


def ask_http(
    get: Mapping[str, Any], address: str, ports: Sequence[Mapping[str, Any]], timeout_s: float
) -> bool:
    """Whether the answer to an httpGet is a good one."""
    named = {port["name"]: port["containerPort"] for port in ports if "name" in port}
    port = named[get["port"]] if isinstance(get["port"], str) else get["port"]
    host = get.get("host", address)
    connection: http.client.HTTPConnection
    if get.get("scheme") == "HTTPS":  # a kubelet does not verify certificates
        unverified = ssl._create_unverified_context()  # noqa: S323 - as a kubelet does
        connection = http.client.HTTPSConnection(host, port, timeout=timeout_s, context=unverified)
    else:
        connection = http.client.HTTPConnection(host, port, timeout=timeout_s)
    headers = {header["name"]: header["value"] for header in get.get("httpHeaders", [])}
    try:
        connection.request("GET", get.get("path", "/"), headers={"User-Agent": "kube-probe/1.35", **headers})
        return connection.getresponse().status in _GOOD
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def timeout_of(probe: Mapping[str, Any]) -> float:
    """Seconds that a probe's answer may take."""
    return float(probe.get("timeoutSeconds", _TIMEOUT_S))
