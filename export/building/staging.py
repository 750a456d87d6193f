"""A folder that appears whole or not at all, however the work inside ends."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def staged(out: Path) -> Iterator[Path]:
    """Give a fresh folder beside `out`; it becomes `out` on success and is removed on any exception.

    A process that is killed leaves the hidden folder behind, but never a half-made `out`.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
    try:
        yield folder
        # mkdtemp is for its owner alone; a bundle is read by the worker's user.
        folder.chmod(0o777 & ~_umask())
        folder.rename(out)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
