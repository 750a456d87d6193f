"""A started worker runs under the settings it is given, and under no others."""

import json
import signal
from pathlib import Path

import pytest

from engine.errors import FatalError
from mimamori import process

# Stands in for a worker: it shows its environment, or waits for a signal.
SHOWS = """
import json, os, sys
print(json.dumps({name: value for name, value in os.environ.items() if name.startswith("MIMAMORI_")}))
"""
STUBBORN = """
import signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("ready", flush=True)
while True: time.sleep(1)
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    (tmp_path / "shows.py").write_text(SHOWS)
    (tmp_path / "stubborn.py").write_text(STUBBORN)
    return tmp_path


def test_settings_are_given_and_not_inherited(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MIMAMORI_HOME", "kept")
    monkeypatch.setenv("MIMAMORI_LOWER", "0.99")
    settings = {"bundle": folder, "kafka": {"acks": "all"}, "max_records": 7, "case_text": False}
    started = process.start(["shows"], settings, folder / "log")
    assert started.wait(30) == 0
    assert json.loads((folder / "log").read_text()) == {
        "MIMAMORI_HOME": "kept",
        "MIMAMORI_BUNDLE": str(folder),
        "MIMAMORI_KAFKA": '{"acks":"all"}',
        "MIMAMORI_MAX_RECORDS": "7",
        "MIMAMORI_CASE_TEXT": "false",
    }


def test_what_ends_before_it_is_ready_is_said_with_its_log(folder: Path) -> None:
    started = process.start(["shows"], {}, folder / "log")
    with pytest.raises(FatalError, match=rf"^the worker did not start, its log says why: {folder / 'log'}$"):
        process.await_ready(started, 1, folder / "log", 30)


def test_what_does_not_end_is_made_to(folder: Path) -> None:
    with (folder / "said").open("wb"):
        started = process.start(["stubborn"], {}, folder / "log", output=folder / "said")
    while "ready" not in (folder / "said").read_text():
        assert started.poll() is None
    assert process.end(started, 0.1) == -signal.SIGKILL
