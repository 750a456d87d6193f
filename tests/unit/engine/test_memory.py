"""Pages of a weights file that nobody reads any more are given back, and come back when asked for."""

import mmap
from pathlib import Path

import pytest

from engine.devices.memory import release_pages

SIZE = 8 << 20
SMAPS = Path("/proc/self/smaps")


def _resident(file: Path) -> int:
    """Bytes of the file's mappings that are in this process's memory."""
    total, ours = 0, False
    for line in SMAPS.read_text().splitlines():
        if "-" in line.split(" ", 1)[0]:
            ours = line.endswith(str(file))
        elif ours and line.startswith("Rss:"):
            total += int(line.split()[1]) * 1024
    return total


@pytest.mark.skipif(not SMAPS.exists(), reason="only Linux tells what is resident")
def test_pages_are_given_back_and_come_back_unchanged(tmp_path: Path) -> None:
    file = tmp_path / "weights"
    content = bytes(range(256)) * (SIZE // 256)
    file.write_bytes(content)
    with file.open("rb") as opened, mmap.mmap(opened.fileno(), 0, prot=mmap.PROT_READ) as mapped:
        assert mapped[:] == content
        assert _resident(file) == SIZE
        assert release_pages(file) == SIZE
        assert _resident(file) == 0
        assert mapped[:] == content


@pytest.mark.skipif(not SMAPS.exists(), reason="only Linux tells what is resident")
def test_what_was_written_is_never_dropped(tmp_path: Path) -> None:
    file = tmp_path / "weights"
    file.write_bytes(bytes(SIZE))
    with file.open("r+b") as opened, mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_COPY) as mapped:
        mapped[:3] = b"abc"
        assert release_pages(file) == 0
        assert mapped[:3] == b"abc"


def test_a_file_that_nobody_mapped_is_no_error(tmp_path: Path) -> None:
    assert release_pages(tmp_path / "nothing") == 0
