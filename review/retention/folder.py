"""Makes the desk's folder its own: nobody else on the machine may look into it, or into what it will hold."""

import os
import stat
from pathlib import Path
from typing import Final

from review.errors import DeskError

_OTHERS: Final = 0o077


def make_private(folder: Path) -> None:
    """Make the folder if need be, and close it and all it holds to others: 0700, and 0600 for files.

    It also sets this process's umask, since RocksDB makes its files with whatever that allows.

    Raises DeskError: the folder cannot be made, or is open to others and somebody else's to close.
    """
    os.umask(_OTHERS)
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        _close(folder)
        for parent, folders, files in os.walk(folder):
            for name in (*folders, *files):
                _close(Path(parent) / name)
    except OSError as error:
        raise DeskError(f"cannot keep the table in {folder}: {error.strerror}") from None


def _close(path: Path) -> None:
    held = path.lstat()
    if stat.S_ISLNK(held.st_mode) or not held.st_mode & _OTHERS:
        return
    try:
        path.chmod(stat.S_IMODE(held.st_mode) & ~_OTHERS & ~stat.S_ISGID)
    except PermissionError:
        raise DeskError(
            f"{path} is open to others (mode {stat.S_IMODE(held.st_mode):o}) and is another user's: set "
            "MIMAMORI_REVIEW_FOLDER to a folder inside it, which the desk makes for itself"
        ) from None
