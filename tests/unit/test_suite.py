"""The suite itself: a process of it that dies ends the run, and is told."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_a_process_that_dies_ends_the_run_and_its_test_is_named(tmp_path: Path) -> None:
    for name in ("first", "second", "third"):
        (tmp_path / f"test_{name}.py").write_text(
            "def test_a(): pass\ndef test_b(): pass\ndef test_c(): pass\n"
        )
    dies = "import os\ndef test_passes(): pass\ndef test_dies(): os._exit(1)\ndef test_behind(): pass\n"
    (tmp_path / "test_zealous.py").write_text(dies)
    command = [
        sys.executable,
        "-m",
        "pytest",
        f"--config-file={ROOT / 'pyproject.toml'}",
        f"--rootdir={tmp_path}",
    ]
    spread = ["--numprocesses=2", "--dist=loadfile", "--no-loadscope-reorder", "-p", "no:cacheprovider"]
    ended = subprocess.run(
        [*command, *spread, str(tmp_path)], capture_output=True, text=True, timeout=60, check=False
    )
    assert ended.returncode == 1
    assert "test_zealous.py::test_dies" in ended.stdout
    assert "1 failed, 10 passed" in ended.stdout
