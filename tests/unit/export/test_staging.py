"""A folder appears whole or not at all, and what the system refuses is told in one line."""

import errno
from pathlib import Path

import pytest

from engine.errors import BundleError
from export.building.staging import require_room, staged, writing


def test_a_full_disk_leaves_nothing_and_is_told(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"cannot write .*out: No space left.*nothing of it was kept"):  # noqa: SIM117, PT012
        with staged(tmp_path / "out") as folder:
            (folder / "half").write_text("half")
            raise OSError(errno.ENOSPC, "No space left on device")
    assert not list(tmp_path.iterdir())


def test_a_place_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    out = tmp_path / "file" / "out"
    with pytest.raises(BundleError, match=r"cannot write .*file/out"):
        require_room(out)
    with pytest.raises(BundleError, match=r"cannot write .*file/out"), staged(out):
        pass


def test_a_file_that_cannot_be_copied_is_named(tmp_path: Path) -> None:
    with (
        pytest.raises(BundleError, match=r"cannot write .*out: No such file.*\(.*/weights\)"),
        staged(tmp_path / "out"),
    ):
        (tmp_path / "weights").read_bytes()


def test_other_faults_stay_what_they_are(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="mine"), writing(tmp_path / "out"):
        raise ValueError("mine")
