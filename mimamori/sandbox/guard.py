"""Ends a server whose starter has died, however it died. Run as a program beside each server.

A parent-death signal would be simpler, but it exists on Linux only, and fires when the starting *thread*
ends. The guard uses the standard library alone (`python -I -S`), so that it costs one small process. It
restarts nothing, and exits as soon as the server's process group is gone.
"""

import contextlib
import os
import shutil
import signal
import sys
import time
from pathlib import Path

LOOK_EVERY = 0.2
GRACE = 5.0


def guard(starter: int, group: int, folder: Path | None) -> None:
    """Wait until process `starter` is gone, then end process group `group` and remove `folder`.

    The group gets SIGTERM and, after GRACE seconds, SIGKILL. Where `folder` is None, nothing is removed.
    """
    while os.getppid() == starter:
        if not _alive(group):
            return
        time.sleep(LOOK_EVERY)
    deadline = time.monotonic() + GRACE
    _signal(group, signal.SIGTERM)
    _signal(group, signal.SIGCONT)  # a stopped process does not handle SIGTERM before it is continued
    while _alive(group) and time.monotonic() < deadline:
        time.sleep(LOOK_EVERY / 4)
    _signal(group, signal.SIGKILL)
    if folder is not None:
        shutil.rmtree(folder, ignore_errors=True)
        with contextlib.suppress(OSError):  # not empty: the other server's folder is still in it
            folder.parent.rmdir()


def _alive(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def _signal(group: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, number)


if __name__ == "__main__":
    guard(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]) if sys.argv[3] else None)
