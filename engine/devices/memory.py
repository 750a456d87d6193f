"""Frees the memory that a loaded weights file no longer needs, on Linux. Elsewhere it does nothing."""

import ctypes
import mmap
from pathlib import Path

_MAPS = Path("/proc/self/maps")


def release_pages(file: Path) -> int:
    """Release the resident pages of `file`'s read-only mappings; return the mappings' size in bytes.

    At the first run a device library packs the weights into its own layout and keeps the file mapped, so
    twice the model counts as this process's memory and against a container's limit. The pages are clean: if
    one is accessed again, the kernel reads it from the file.
    """
    if not hasattr(mmap, "MADV_DONTNEED") or not _MAPS.exists():
        return 0
    libc = ctypes.CDLL(None, use_errno=True)
    wanted, released = str(file.resolve()), 0
    for line in _MAPS.read_text().splitlines():
        addresses, permissions, *_ = line.split(maxsplit=5)
        # A writable mapping is never released, because that would undo what was written to it.
        if not line.endswith(wanted) or not permissions.startswith("r-"):
            continue
        start, end = (int(address, 16) for address in addresses.split("-"))
        failed = libc.madvise(ctypes.c_void_p(start), ctypes.c_size_t(end - start), mmap.MADV_DONTNEED)
        released += 0 if failed else end - start
    if hasattr(libc, "malloc_trim"):  # glibc keeps the memory that compilation freed
        libc.malloc_trim(0)
    return released
