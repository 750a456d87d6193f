"""`mimamori suggest` on a tiny bundle: the file to label, what is in it, and what is not."""

import csv
import errno
import json
import resource
import stat
from pathlib import Path

import msgspec
import pytest
from typer.testing import CliRunner

from engine.bundle import Bundle
from engine.errors import BundleError, TaskError
from export.adapting import cut
from export.adapting.adapt import adapt
from export.adapting.suggested import SuggestReport, suggest_rows
from export.checking import normal
from export.examples import LabelledExample, read_examples
from mimamori.cli import app
from tests.fakes.tiny_bundle import TASK, write_tiny_bundle

EXAMPLES = [
    LabelledExample(text=word * n, at_risk=at_risk)
    for n in range(1, 8)
    for word, at_risk in (("zq", True), ("ab", False))
]
# The tiny model tells z and q from a and b.
TRAFFIC = [
    f"{'zqab'[n % 4] * (1 + n % 5)}{'abzq'[n // 4 % 4] * (1 + n // 3 % 7)} {'ba' * (n // 20)}"
    for n in range(120)
]
NASTY = ['he said "zq", twice', "line one\nline two, zq", "=ab(1)", "@ab, zq?", "  ab ; ba", "-ab"]


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return write_tiny_bundle(tmp_path_factory.mktemp("tiny") / "full")


def _suggest(
    bundle: Path,
    out: Path,
    examples: list[LabelledExample] = EXAMPLES,
    texts: list[str] = TRAFFIC,
    count: int = 6,
) -> SuggestReport:
    return suggest_rows(bundle, texts, examples, count, out, lambda *_: None, device="cpu")


def _rows(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_the_file_waits_for_labels_and_is_adapted_on_with_them(full: Bundle, tmp_path: Path) -> None:
    out = tmp_path / "to-label.jsonl"
    report = _suggest(full.path, out)
    assert report.head == "fitted on 14 labelled examples"
    assert report.suggestions == 6
    with pytest.raises(TaskError, match=r"to-label\.jsonl, row 1: `at_risk` is empty: label the row"):
        read_examples(out, TASK)
    rows = _rows(out)
    assert {str(row["text"]) for row in rows} < set(TRAFFIC)
    assert [row["at_risk"] for row in rows] == [None] * 6
    assert all(str(row["note"]).split(":")[0] in {"uncertain", "representative"} for row in rows)
    assert sum(str(row["note"]).startswith("uncertain") for row in rows) == report.uncertain > 0
    labelled = [row | {"at_risk": "z" in str(row["text"])} for row in rows]
    out.write_text("\n".join(map(json.dumps, labelled)))
    adapt(full.path, [*EXAMPLES, *read_examples(out, TASK)], tmp_path / "out", lambda *_: None, device="cpu")


def test_only_its_owner_may_read_the_file(full: Bundle, tmp_path: Path) -> None:
    _suggest(full.path, tmp_path / "to-label.jsonl")
    assert stat.S_IMODE((tmp_path / "to-label.jsonl").stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["to-label.jsonl"]


def test_a_file_that_may_hold_labels_is_never_overwritten(full: Bundle, tmp_path: Path) -> None:
    out = tmp_path / "to-label.jsonl"
    out.write_text("labels")
    with pytest.raises(TaskError, match="exists already: it may hold labels"):
        _suggest(full.path, out)
    assert out.read_text() == "labels"


def test_a_disk_that_fills_up_leaves_nothing(
    full: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_room(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(cut, "write_model", no_room)
    with pytest.raises(BundleError, match="No space left on device"):
        _suggest(full.path, tmp_path / "to-label.jsonl")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["rows.csv", "rows.jsonl"])
def test_every_text_comes_back_as_it_was_written(full: Bundle, tmp_path: Path, name: str) -> None:
    out = tmp_path / name
    _suggest(full.path, out, texts=NASTY, count=len(NASTY))
    content = out.read_text()
    if name.endswith("csv"):
        with out.open(newline="") as file:
            cells = [row["text"] for row in csv.DictReader(file)]
        assert not any(cell.startswith(("=", "@", "-", "+")) for cell in cells)  # no spreadsheet runs it
        content = content.replace(",,,", ",no,,")
    else:
        content = content.replace('"at_risk":null', '"at_risk":false')
    out.write_text(content)
    assert sorted(each.text.strip() for each in read_examples(out, TASK)) == sorted(map(str.strip, NASTY))


def test_what_is_labelled_is_not_suggested_however_it_is_written(full: Bundle, tmp_path: Path) -> None:
    texts = ["ZQ zq", "zq  zq", "ab ba", "AB ba", "a\u200bb ba", "ab zq"]
    examples = [*EXAMPLES, LabelledExample("zq zq", at_risk=True)]
    _suggest(full.path, tmp_path / "out.jsonl", examples, texts, 2)
    assert {normal(str(row["text"])) for row in _rows(tmp_path / "out.jsonl")} == {"ab ba", "ab zq"}


def test_an_adapted_bundle_asks_its_own_head(full: Bundle, tmp_path: Path) -> None:
    adapt(full.path, EXAMPLES, tmp_path / "adapted", lambda *_: None, device="cpu")
    report = _suggest(tmp_path / "adapted", tmp_path / "out.jsonl", [])
    assert report.head == "the bundle's own"
    assert report.uncertain > 0


@pytest.mark.parametrize("examples", [[], EXAMPLES[:1], EXAMPLES[::2]])
def test_without_two_classes_what_stands_for_the_traffic_is_suggested(
    full: Bundle, tmp_path: Path, examples: list[LabelledExample]
) -> None:
    report = _suggest(full.path, tmp_path / "out.jsonl", examples)
    assert report.head.startswith("none")
    assert report.uncertain == 0
    assert all(
        str(row["note"]).startswith("representative: stands for") for row in _rows(tmp_path / "out.jsonl")
    )


def test_traffic_that_is_too_little_is_refused(full: Bundle, tmp_path: Path) -> None:
    with pytest.raises(
        TaskError, match="suggesting 6 needs 6 different unlabelled messages or more"
    ) as little:
        _suggest(full.path, tmp_path / "out.jsonl", texts=TRAFFIC[:4])
    assert "leave --traffic out" not in str(little.value)  # there is nothing to suggest without
    with pytest.raises(TaskError, match="apart from case, spaces and disguise the traffic has 3; bring more"):
        _suggest(
            full.path, tmp_path / "out.jsonl", texts=[*TRAFFIC[:3], *(text.upper() for text in TRAFFIC[:3])]
        )
    assert not list(tmp_path.iterdir())


def test_a_disk_that_fills_up_leaves_no_half_written_file(full: Bundle, tmp_path: Path) -> None:
    adapt(full.path, EXAMPLES, tmp_path / "adapted", lambda *_: None, device="cpu")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, before[1]))
    try:
        with pytest.raises(TaskError, match=r"cannot write .*: File too large; nothing was written"):
            _suggest(tmp_path / "adapted", tmp_path / "out.jsonl")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert [path.name for path in tmp_path.iterdir()] == ["adapted"]


def test_the_command_shows_no_text(full: Bundle, tmp_path: Path) -> None:
    traffic, examples, out = (tmp_path / f"{name}.jsonl" for name in ("traffic", "examples", "out"))
    traffic.write_text("\n".join(json.dumps({"text": text}) for text in TRAFFIC))
    examples.write_bytes(b"\n".join(map(msgspec.json.encode, EXAMPLES)))
    asked = ["suggest", str(full.path), "--traffic", str(traffic), "--examples", str(examples)]
    asked += ["--count", "6", "--device", "cpu", "--out"]
    shown = CliRunner().invoke(app, [*asked, str(out)])
    assert shown.exit_code == 0, shown.output
    assert "Fill in at_risk" in shown.output
    printed = CliRunner().invoke(app, [*asked, str(tmp_path / "two.jsonl"), "--json"])
    assert json.loads(printed.stdout)["suggestions"] == 6
    assert out.read_bytes() == (tmp_path / "two.jsonl").read_bytes()
    assert not any(str(row["text"]) in shown.output + printed.output for row in _rows(out))
    again = CliRunner().invoke(app, [*asked, str(out)])
    assert isinstance(again.exception, TaskError)


@pytest.mark.parametrize("name", ["rows.txt", "nowhere/rows.jsonl"])
def test_a_file_that_cannot_be_is_refused_before_anything_is_read(tmp_path: Path, name: str) -> None:
    asked = ["suggest", str(tmp_path / "none"), "--traffic", "none.jsonl", "--out", str(tmp_path / name)]
    assert "--out" in str(CliRunner().invoke(app, asked).exception)
