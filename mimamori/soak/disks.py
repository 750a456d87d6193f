"""Full disks: one of its own for each broker, in memory, or the machine's own as far as a broker can tell."""

import resource
import shutil
import subprocess
from pathlib import Path
from typing import Final

from mimamori.errors import SandboxError

SIZE: Final = "4g"  # it takes what is written, and no more
ROOM: Final = 64 << 10  # bytes that a full one still has: the next write of some size fails


class Disks:
    """Mounts a tmpfs at each of these folders. Make it inside an enclosure; the mounts end with that."""

    def __init__(self, folders: list[Path]) -> None:
        """Raises SandboxError."""
        self._folders = folders
        for folder in folders:
            folder.mkdir(parents=True, exist_ok=True)
            _mount("-t", "tmpfs", "-o", f"size={SIZE}", "none", str(folder))

    # Without the source, mount(8) repeats the mount's own options, some of which a user namespace refuses.

    def fill(self, folder: Path) -> None:
        """Let it be as large as what is on it (ENOSPC from now on)."""
        used = shutil.disk_usage(folder).used
        _mount("-o", f"remount,size={used + ROOM}", "none", str(folder))

    def free(self, folder: Path) -> None:
        """Let it be large again."""
        _mount("-o", f"remount,size={SIZE}", "none", str(folder))

    def close(self) -> None:
        """Take the mounts away, so that their folders can be removed. Whoever writes there has ended."""
        for folder in self._folders:
            subprocess.run(["umount", str(folder)], capture_output=True, check=False)  # noqa: S603, S607 - our own command


def _mount(*arguments: str) -> None:
    ran = subprocess.run(["mount", *arguments], capture_output=True, text=True, check=False)  # noqa: S603, S607 - our own command
    if ran.returncode:
        raise SandboxError(f"cannot mount a disk for a broker: {ran.stderr.strip()}")


def forbid_growth(pid: int) -> None:
    """Let no file of a process grow any more, where its disk is the machine's own.

    A write past the limit fails (EFBIG), which a broker takes as it takes a full disk (ENOSPC). Source:
    setrlimit(2).
    """
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
