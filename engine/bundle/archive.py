"""Zip and npz files read within bounds: what an archive says of itself is checked before any memory is taken.

A few kilobytes can say that they are terabytes. No member comes out larger than its reader allows, none is
read that nobody asked for, and arrays are numbers of exactly the size that their shape says.
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

# Bytes of all that is read: the largest, the graphs of recipes, have a few megabytes.
LARGEST: Final = 128 << 20
_METHODS: Final = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}  # others may ask for gigabytes to unpack a byte
_KINDS: Final = "biuf"
_HEADER: Final = 10_000  # bytes of text in which an array says its shape

# All that the standard library's reader is known to raise on archives that are none.
_BROKEN: Final = (
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    KeyError,
    NotImplementedError,  # methods and versions it does not know
    OverflowError,
    RuntimeError,  # encrypted
    ValueError,
)


class ArchiveError(Exception):
    """Not an archive of what was asked for. The message says why, without a place."""


def read_members(
    file: Path | bytes, wanted: Iterable[str], optional: Iterable[str] = (), largest: int = LARGEST
) -> dict[str, bytes]:
    """The members `wanted`, and those of `optional` that are there, of at most `largest` bytes together.

    Raises ArchiveError: no zip, a member is missing, damaged or larger. OSError: the file cannot be read.
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
    """The arrays of an npz, as `np.savez` writes it. Raises ArchiveError and OSError as `read_members`."""
    members = read_members(
        file, [f"{name}.npy" for name in wanted], [f"{name}.npy" for name in optional], largest
    )
    return {name.removesuffix(".npy"): _array(content) for name, content in members.items()}


def only(arrays: Mapping[str, NDArray[Any]], kind: str) -> bool:
    """Whether all arrays are of one of these kinds of numpy's ("f", "iu")."""
    return all(array.dtype.kind in kind for array in arrays.values())


def _read(archive: zipfile.ZipFile, name: str, largest: int) -> bytes:
    entry = archive.getinfo(name)
    if entry.compress_type not in _METHODS:
        raise ArchiveError(f"{name} is packed by method {entry.compress_type}")
    with archive.open(entry) as member:
        # A little at a time: what the archive says of a member's size need not be true.
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
        raise ArchiveError("an array says its shape in no way that numpy writes") from None
    data = content[file.tell() :]
    if dtype.kind not in _KINDS or any(length < 0 for length in shape):
        raise ArchiveError(f"an array of {dtype} is none of numbers")
    if math.prod(shape) * dtype.itemsize != len(data):
        raise ArchiveError(f"an array of {shape} {dtype} has {len(data)} bytes")
    return np.frombuffer(data, dtype).reshape(shape, order="F" if in_columns else "C")
