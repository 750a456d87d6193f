"""One container of a pod: it is started, probed, restarted, and ended, as its spec and its pod say."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.cluster.kubelet import enter
from tests.cluster.kubelet.probes import Prober, ask_http, timeout_of

BACK_OFF_S, LONGEST_BACK_OFF_S, GOOD_RUN_S = 10.0, 300.0, 600.0
_HOOK_S = 30.0
_AGAIN_S = 1.0
_SIGNALLED = 128

State = dict[str, Any]


@dataclass(frozen=True)
class Made:
    """What a container is made of: its program, environment, mounts and user, and where its files lie."""

    command: Sequence[str]
    environment: Mapping[str, str]
    entry: Mapping[str, Any]
    log: Path


class Container:
    """`make` says what it is made of, anew for each start. What it raises, `tick` raises."""

    def __init__(
        self, spec: Mapping[str, Any], address: str, restarts: str, grace_s: float, make: Callable[[], Made]
    ) -> None:
        """`restarts` is the pod's restartPolicy."""
        self.spec = spec
        self.name: str = spec["name"]
        self.restarts = 0
        self._address = address
        self._policy = restarts
        self._grace_s = grace_s
        self._make = make
        self._made: Made | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._prober: Prober | None = None
        self._started_at = ""
        self._ran_since = 0.0
        self._state: State = {"waiting": {"reason": "ContainerCreating"}}
        self._last: State = {}
        self._due: float | None = None
        self._back_off = 0.0
        self._stopper: threading.Thread | None = None
        self._leaving = False

    @property
    def exit_code(self) -> int | None:
        """How it ended, None while it runs or will be started again."""
        if self._process is None and self._due is None and "terminated" in self._state:
            return int(self._state["terminated"]["exitCode"])
        return None

    @property
    def is_running(self) -> bool:
        """Whether its program runs."""
        return self._process is not None

    @property
    def is_ready(self) -> bool:
        """Whether it is ready now."""
        return self._prober is not None and self._prober.is_ready

    def start(self) -> None:
        """Start it at the next tick."""
        self._due = 0.0

    def tick(self) -> None:
        """Look after it. Call it often."""
        if self._process is None:
            if self._due is not None and time.monotonic() >= self._due and not self._leaving:
                self._run()
        elif (code := self._process.poll()) is not None:
            self._take_end(code)
        elif self._prober and self._prober.failed and self._stopper is None:
            self._stopper = threading.Thread(target=self._stop, args=(self._grace_s,), daemon=True)
            self._stopper.start()

    def wait_with(self, reason: str, message: str) -> None:
        """Say why it cannot be started yet."""
        self._state = {"waiting": {"reason": reason, "message": message}}
        if self._due is not None:
            self._due = time.monotonic() + _AGAIN_S

    def leave(self, grace_s: float) -> None:
        """Begin to end it for good: preStop, SIGTERM, SIGKILL after so many seconds. `tick` sees it end."""
        self._leaving, self._due = True, None
        threading.Thread(target=self._stop, args=(grace_s,), daemon=True).start()

    def kill(self) -> None:
        """End it at once, with all that it has started."""
        self._leaving = True
        self._signal_group(signal.SIGKILL)

    def status(self) -> State:
        """Its containerStatus."""
        process, prober = self._process, self._prober
        return {
            "name": self.name,
            "image": self.spec["image"],
            "imageID": "",
            "containerID": f"process://{process.pid}" if process else "",
            "ready": self.is_ready,
            "started": process is not None and prober is not None and prober.is_started,
            "restartCount": self.restarts,
            "state": dict(self._state),
            "lastState": dict(self._last),
        }

    def ask(self, probe: Mapping[str, Any]) -> bool:
        """Whether a probe, or a preStop, succeeds."""
        if "httpGet" in probe:
            return ask_http(probe["httpGet"], self._address, self.spec.get("ports", []), timeout_of(probe))
        if "exec" in probe and self._made:
            beside = {**self._made.entry, "command": probe["exec"]["command"]}
            with suppress(subprocess.TimeoutExpired):
                return (
                    subprocess.run(
                        _entering(beside),
                        env=dict(self._made.environment),
                        timeout=timeout_of(probe),
                        check=False,
                    ).returncode
                    == 0
                )
        return False

    def _run(self) -> None:
        made = self._make()
        self._due, self._stopper = None, None
        with made.log.open("ab") as log:
            self._process = subprocess.Popen(
                _entering({**made.entry, "command": list(made.command)}),
                env=dict(made.environment),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._made = made
        self._started_at, self._ran_since = now(), time.monotonic()
        self._state = {"running": {"startedAt": self._started_at}}
        self._prober = Prober(self.spec, self.ask)

    def _take_end(self, code: int) -> None:
        self._signal_group(signal.SIGKILL)  # whatever it has started ends with it
        if self._prober:
            self._prober.stop()
        exit_code = code if code >= 0 else _SIGNALLED - code
        why = self._prober.failed if self._prober else None
        ended = {
            "exitCode": exit_code,
            "reason": "Completed" if exit_code == 0 else "Error",
            "startedAt": self._started_at,
            "finishedAt": now(),
            **({"message": f"its {why} probe failed"} if why else {}),
        }
        self._process = None
        self._state = {"terminated": ended}
        if not self._leaving and (self._policy == "Always" or (self._policy == "OnFailure" and exit_code)):
            self._restart_later(ended)

    def _restart_later(self, ended: State) -> None:
        """At once the first time, and after a good run; otherwise after 10 s, 20 s and so on."""
        if time.monotonic() - self._ran_since > GOOD_RUN_S:
            self._back_off = 0.0
        self._last = {"terminated": ended}
        self._due = time.monotonic() + self._back_off
        message = f"back-off {self._back_off:.0f}s restarting failed container={self.name}"
        self._state = {"waiting": {"reason": "CrashLoopBackOff", "message": message}}
        self._back_off = min(max(BACK_OFF_S, 2 * self._back_off), LONGEST_BACK_OFF_S)
        self.restarts += 1

    def _stop(self, grace_s: float) -> None:
        """preStop, SIGTERM and SIGKILL; `tick` takes the end."""
        process, deadline = self._process, time.monotonic() + grace_s
        if process is None:
            return
        if hook := self.spec.get("lifecycle", {}).get("preStop"):
            if "sleep" in hook:
                with suppress(subprocess.TimeoutExpired):
                    process.wait(min(hook["sleep"]["seconds"], grace_s))
            else:
                self.ask({**hook, "timeoutSeconds": min(_HOOK_S, grace_s)})
        with suppress(ProcessLookupError):
            process.terminate()
        try:
            process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            self._signal_group(signal.SIGKILL)

    def _signal_group(self, number: signal.Signals) -> None:
        if self._process is not None:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, number)


def now() -> str:
    """The time as Kubernetes writes it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _entering(entry: Mapping[str, Any]) -> list[str]:
    return [sys.executable, "-I", "-S", enter.__file__, json.dumps(entry)]
