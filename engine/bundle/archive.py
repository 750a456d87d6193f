"""Reads zip and npz files within bounds: what an archive claims is checked before memory is allocated for it.

A file of a few kilobytes can claim to hold terabytes. So no member may unpack to more bytes than the caller
allows, only requested members are read, and an array must have exactly the bytes that its shape implies.
"""

import io
import math
import tokenize
import zipfile
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

# The most bytes read from one archive. The largest real ones, the graphs of recipes, have a few megabytes.
LARGEST: Final = 128 << 20
# Other compression methods may ask for gigabytes of memory to unpack one byte.
_METHODS: Final = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}
_KINDS: Final = "biuf"
_HEADER: Final = 10_000  # bytes of the text that states an array's shape

# Every exception that the standard library's reader is known to raise on a file that is not a valid archive.
_BROKEN: Final = (
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    KeyError,
    NotImplementedError,  # an unknown compression method or zip version
    OverflowError,
    RuntimeError,  # an encrypted member
    ValueError,
)


class ArchiveError(Exception):
    """The file is not an archive with the wanted content. The message says why, but not which file."""


def read_members(
    file: Path | bytes, wanted: Iterable[str], optional: Iterable[str] = (), largest: int = LARGEST
) -> dict[str, bytes]:
    """Read the members `wanted`, and those of `optional` that exist, of at most `largest` bytes together.

    Raises ArchiveError: the file is not a zip, or a member is missing, damaged or too large. OSError: the
    file cannot be read.
    """
    try:
        with zipfile.ZipFile(file if isinstance(file, Path) else io.BytesIO(file)) as archive:
            there = set(archive.namelist())
            members: dict[str, bytes] = {}
            for name in (*wanted, *(name for name in optional if name in there)):
                members[name] = _read(archive, name, largest)
                largest -= len(members[name])
            return members
    except _BROKEN as error:
        reason = next(iter(str(error).splitlines()), "") or type(error).__name__
        raise ArchiveError(reason[:200]) from None


def read_arrays(
    file: Path, wanted: Iterable[str], optional: Iterable[str] = (), largest: int = LARGEST
) -> dict[str, NDArray[Any]]:
    """Read arrays of an npz that `np.savez` wrote. Raises ArchiveError and OSError as `read_members` does."""
    members = read_members(
        file, [f"{name}.npy" for name in wanted], [f"{name}.npy" for name in optional], largest
    )
    return {name.removesuffix(".npy"): _array(content) for name, content in members.items()}


def only(arrays: Mapping[str, NDArray[Any]], kind: str) -> bool:
    """Whether the dtype of every array is of one of these numpy kinds ("f", "iu")."""
    return all(array.dtype.kind in kind for array in arrays.values())


def _read(archive: zipfile.ZipFile, name: str, largest: int) -> bytes:
    entry = archive.getinfo(name)
    if entry.compress_type not in _METHODS:
        raise ArchiveError(f"{name} is packed by method {entry.compress_type}")
    with archive.open(entry) as member:
        # Read in small pieces, because the size that the archive states for a member need not be true.
        pieces, left = [], largest
        while piece := member.read(1 << 20):
            left -= len(piece)
            if left < 0:
                raise ArchiveError(f"{name} is larger than {largest} bytes")
            pieces.append(piece)
    return b"".join(pieces)


def _array(content: bytes) -> NDArray[Any]:
    file = io.BytesIO(content)
    try:
        version = np.lib.format.read_magic(file)
        read = {
            (1, 0): np.lib.format.read_array_header_1_0,
            (2, 0): np.lib.format.read_array_header_2_0,
        }[version]
        shape, in_columns, dtype = read(file, max_header_size=_HEADER)
    except (ValueError, KeyError, TypeError, SyntaxError, RecursionError, MemoryError, tokenize.TokenError):
        raise ArchiveError("an array's header is not one that numpy writes") from None
    data = content[file.tell() :]
    if dtype.kind not in _KINDS or any(length < 0 for length in shape):
        raise ArchiveError(f"an array of {dtype} does not hold numbers")
    if math.prod(shape) * dtype.itemsize != len(data):
        raise ArchiveError(f"an array of {shape} {dtype} cannot have {len(data)} bytes")
    return np.frombuffer(data, dtype).reshape(shape, order="F" if in_columns else "C")
