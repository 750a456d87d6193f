"""Checks a bundle's folder: it holds only the files that bundle.json lists, and they stay unaltered.

Device libraries open files by name, after their checksums were computed. If a file is replaced, written to,
renamed or linked in between, and before the worker is ready, that is noticed: the file system records each
such change in the file's change time, which nobody but root can set. From then on a memory-mapped file can be
trusted as much as everyone who may write to the folder, so mount it read-only.
"""

import hashlib
import stat
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Final, NamedTuple, TypeVar

import msgspec

from engine.bundle.graph_files import external_files
from engine.errors import BundleError

T = TypeVar("T")

# File systems create this folder by themselves, and nothing here opens it. Hidden files are ignored as well.
_NOT_OURS: Final = {"lost+found"}


class Seen(NamedTuple):
    """Identifies one state of a file: device, inode, size, and the times of its last write and change."""

    device: int
    inode: int
    size: int
    written: int
    changed: int


def is_name(name: str) -> bool:
    """Whether `name` is a plain file name inside the folder, and not a path to somewhere else."""
    return bool(name) and not name.startswith(".") and not {"/", "\\", "\0"} & set(name)


def regular(path: Path) -> Seen:
    """The current state of a file. Raises BundleError: it is missing, or a link or a folder."""
    try:
        found = path.lstat()
    except OSError as error:
        raise BundleError(f"cannot read {path}: {error.strerror}; build or copy the bundle again") from None
    if not stat.S_ISREG(found.st_mode):
        raise BundleError(f"{path} is not a plain file: copy the bundle again, links followed (cp -rL)")
    return Seen(found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


def require_only(folder: Path, listed: Iterable[str]) -> None:
    """Raise BundleError where the folder holds a file that is not `listed`."""
    known = set(listed) | _NOT_OURS
    try:
        extra = sorted(p.name for p in folder.iterdir() if p.name not in known and p.name[0] != ".")
    except OSError as error:
        raise BundleError(f"cannot read {folder}: {error.strerror}; build or copy the bundle again") from None
    if extra:
        raise BundleError(
            f"{folder} holds {', '.join(extra[:3])}, which its bundle.json does not list: "
            "remove it, or build or copy the bundle again"
        )


def require_sizes(folder: Path, largest: Mapping[str, int]) -> None:
    """Raise BundleError where a file is larger than any real one, before it is read."""
    for name, most in largest.items():
        if (size := regular(folder / name).size) > most:
            raise BundleError(f"{folder / name} has {size} bytes, at most {most} are allowed: build it again")


def require_listed(model: Path, files: Mapping[str, object]) -> None:
    """Raise BundleError where the graph reads a file that is not in `files`, or beyond a file's end."""
    for name, end in external_files(model).items():
        if name not in files:
            raise BundleError(
                f"{model} reads the file {name[:200]!r}, which bundle.json does not list: build it again"
            )
        if end > regular(model.with_name(name)).size:
            raise BundleError(f"{model.with_name(name)} is shorter than the graph needs: build it again")


def require_same(folder: Path, seen: Mapping[str, Seen]) -> None:
    """Raise BundleError where a file's state is no longer the one that was `seen`."""
    for name, before in seen.items():
        if regular(folder / name) != before:
            raise BundleError(
                f"{folder / name} was changed while it was opened: start again, and let nobody write there"
            )


def read(path: Path, most: int) -> bytes:
    """Read a small file. Raises BundleError: missing, not a plain file, or more than `most` bytes."""
    try:
        with path.open("rb") as file:
            content = file.read(most + 1)
    except OSError as error:
        raise BundleError(
            f"no bundle: cannot read {path} ({error.strerror}); build one with `mimamori bundle build`"
        ) from None
    if regular(path).size > most:
        raise BundleError(f"{path} has more than {most} bytes: build or copy the bundle again")
    return content


def decode(path: Path, content: bytes, kind: type[T], remedy: str = "build or copy the bundle again") -> T:
    """Decode the JSON of the file `path`. Raises BundleError: it is not JSON, or not of this kind."""
    try:
        return msgspec.json.decode(content, type=kind)
    except UnicodeDecodeError:
        raise BundleError(f"{path}: is not UTF-8; {remedy}") from None
    except RecursionError:
        raise BundleError(f"{path}: is nested too deep; {remedy}") from None
    except msgspec.MsgspecError as error:
        raise BundleError(f"{path}: {error}; {remedy}") from None


def sha256(path: Path, progress: Callable[[int], None] | None = None) -> str:
    """The sha256 of a file in hex, read in pieces of 4 MiB. Raises BundleError where the file is missing."""
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while piece := file.read(1 << 22):
                digest.update(piece)
                if progress is not None:
                    progress(len(piece))
    except OSError as error:
        raise BundleError(f"cannot read {path}: {error.strerror}; build or copy the bundle again") from None
    return digest.hexdigest()
