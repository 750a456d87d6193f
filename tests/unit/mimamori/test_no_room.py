"""Commands where a disk is full or the system ends them: one line, an exit code, and nothing left behind."""

import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest

MOST = 4  # bytes that a file may have


def _full_disk() -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (MOST, MOST))


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_output_that_is_cut_off_is_an_error_though_it_is_written_at_once(
    tmp_path: Path, unbuffered: str
) -> None:
    with (tmp_path / "out.json").open("wb") as out:
        ran = subprocess.run(
            [sys.executable, "-m", "mimamori", "--version"],
            env=os.environ | {"PYTHONUNBUFFERED": unbuffered},
            stdout=out,
            stderr=subprocess.PIPE,
            preexec_fn=_full_disk,
            check=False,
            timeout=60,
        )
    assert (tmp_path / "out.json").stat().st_size <= MOST
    assert ran.returncode
    assert b"File too large; make room" in ran.stderr
    assert b"Traceback" not in ran.stderr


ENDED = """
import os, signal, sys
from mimamori.cli.progress import bars

try:
    with bars():
        os.kill(os.getpid(), signal.SIGTERM)
        signal.pause()
finally:
    print(signal.getsignal(signal.SIGTERM) is signal.SIG_DFL)
"""


def test_sigterm_ends_long_work_as_an_exception_does() -> None:
    ran = subprocess.run(
        [sys.executable, "-c", ENDED], capture_output=True, text=True, check=False, timeout=60
    )
    assert ran.returncode == 128 + signal.SIGTERM
    assert ran.stdout == "True\n"
