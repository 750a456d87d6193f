"""The zygote forks what it is told to, says how it ended, and leaves nobody behind."""

import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from engine.errors import FatalError
from mimamori.soak.launch import ZygoteLauncher
from mimamori.soak.zygote import Report

ENTRY = "tests.unit.mimamori.test_soak_zygote:entry"


def entry(settings: dict[str, Any]) -> None:
    print(settings["say"], flush=True)  # noqa: T201 - into its log
    if settings["say"] == "wait":
        time.sleep(60)
    if settings["say"] == "fail":
        raise FatalError("as told")


def end_of(launcher: ZygoteLauncher) -> Report:
    deadline = time.monotonic() + 20
    while not (ended := launcher.ended()):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return ended[0]


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.parametrize(("say", "code"), [("hello", 0), ("fail", 1)])
def test_a_worker_ends_with_its_code_and_leaves_its_log(say: str, code: int, tmp_path: Path) -> None:
    launcher = ZygoteLauncher(ENTRY)
    pid = launcher.start({"say": say}, tmp_path / "log")
    assert end_of(launcher) == Report(pid, code)
    assert (tmp_path / "log").read_text().startswith(say)
    launcher.close()


def test_a_killed_worker_is_reported_by_its_signal(tmp_path: Path) -> None:
    launcher = ZygoteLauncher(ENTRY)
    pid = launcher.start({"say": "wait"}, tmp_path / "log")
    os.kill(pid, signal.SIGKILL)
    assert end_of(launcher) == Report(pid, -signal.SIGKILL)
    launcher.close()


def test_no_worker_outlives_it_not_even_a_stopped_one(tmp_path: Path) -> None:
    launcher = ZygoteLauncher(ENTRY)
    pids = [launcher.start({"say": "wait"}, tmp_path / "log") for _ in range(2)]
    os.kill(pids[0], signal.SIGSTOP)
    launcher.close()
    deadline = time.monotonic() + 10
    while any(map(is_running, pids)):
        assert time.monotonic() < deadline
        time.sleep(0.01)
