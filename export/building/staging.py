"""A folder that appears whole or not at all, however the work inside ends."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from engine.errors import BundleError


@contextmanager
def staged(out: Path) -> Iterator[Path]:
    """Yield a new folder beside `out`. It becomes `out` on success and is removed on any exception.

    If the process is killed, the hidden folder is left behind, but never an incomplete `out`.

    Raises BundleError: it cannot be written.
    """
    with writing(out):
        out.parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
        try:
            yield folder
            # mkdtemp lets only its owner in, but another user, the worker's, must be able to read a bundle.
            folder.chmod(0o777 & ~umask())
            folder.rename(out)
        finally:
            shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def writing(out: Path) -> Iterator[None]:
    """Raise BundleError, which says so in one line, where the system refuses what is written for `out`."""
    try:
        yield
    except OSError as error:
        # What is written is copied from files, and it may be one of these that cannot be read. Of a full disk
        # a copy names the file that it read.
        unread = isinstance(error, FileNotFoundError | PermissionError) and error.filename
        where = f" ({error.filename})" if unread else ""
        said = error.strerror or type(error).__name__
        raise BundleError(f"cannot write {out}: {said}{where}; nothing of it was kept") from None


def require_room(out: Path) -> None:
    """Raise BundleError where nothing can be written beside `out`: asked before work that takes minutes."""
    with writing(out):
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=out.parent):
            pass


def umask() -> int:
    """What this process keeps from the files that it makes."""
    mask = os.umask(0)
    os.umask(mask)
    return mask
