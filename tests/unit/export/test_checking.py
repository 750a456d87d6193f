"""What is found in labelled examples, by row, and never by their words."""

from pathlib import Path

import msgspec
import pytest

from engine.errors import TaskError
from engine.task import SHIPPED, load_task
from export.checking import Finding, checked, find
from export.examples import LabelledExample, read_examples

STRESS = load_task("stress")
LOW, MODERATE, HIGH = STRESS.level_names


def example(text: str, *, at_risk: bool = False, severity: str | None = None) -> LabelledExample:
    return LabelledExample(text=text, at_risk=at_risk, severity=severity)


COMPLETE = [
    example("the rent is due and I have nothing left", at_risk=True, severity=HIGH),
    example("my boss wants the report tonight again", at_risk=True, severity=MODERATE),
    example("missed the bus, late for work", at_risk=True, severity=LOW),
    example("see you at the lake on Sunday"),
]


def findings(
    examples: list[LabelledExample], kind: str, test: list[LabelledExample] | None = None
) -> list[Finding]:
    return [finding for finding in find(examples, STRESS, test or []) if finding.kind == kind]


def test_good_examples_have_no_findings() -> None:
    assert checked(COMPLETE, STRESS) == (COMPLETE, ())


@pytest.mark.parametrize("name", ["stress", "suicide-risk"])
def test_the_shipped_examples_pass(name: str) -> None:
    task = load_task(name)
    parts = [read_examples(SHIPPED / f"{name}.{part}.jsonl", task) for part in ("examples", "heldout")]
    kept, found = checked(parts[0], task, parts[1])
    assert kept == parts[0]
    assert not found


@pytest.mark.parametrize(
    "again",
    [
        "missed the bus, late for work",
        "  Missed the  bus, late for WORK\n",
        "miss\u200bed the bus, late for work",
        "m\u0456ssed the bus, late for work",  # a Cyrillic letter
        "\uff4dissed the bus, late for work",  # a full-width one
    ],
)
def test_the_same_words_with_two_labels_are_refused_with_both_rows(again: str) -> None:
    with pytest.raises(TaskError, match=r"^example 3 and example 5 have the same text and different labels"):
        checked([*COMPLETE, example(again)], STRESS)


def test_the_same_words_with_two_severities_are_refused() -> None:
    again = example("Missed the bus, late for work", at_risk=True, severity=HIGH)
    with pytest.raises(
        TaskError, match="example 3 and example 5 have the same text and different severities"
    ):
        checked([*COMPLETE, again], STRESS)


def test_repeated_texts_are_counted_once_and_told() -> None:
    again = [example("SEE you at the lake on Sunday"), example("see you at  the lake on sunday")]
    kept, found = checked([*COMPLETE, *again], STRESS)
    assert kept == COMPLETE
    (finding,) = found
    assert finding.kind == "duplicate"
    assert finding.says.startswith("example 5 repeats example 4, example 6 repeats example 4, apart from")


def test_of_repeated_texts_the_one_with_a_severity_is_kept() -> None:
    bare = example("missed the bus, late for work", at_risk=True)
    kept, _ = checked([bare, *COMPLETE], STRESS)
    assert [each.severity for each in kept] == [LOW, HIGH, MODERATE, None]


def test_texts_that_are_nearly_the_same_are_told() -> None:
    near = example("my boss wants the report tonight, again", at_risk=True, severity=MODERATE)
    (finding,) = findings([*COMPLETE, near], "near_duplicate")
    assert not finding.refuses
    assert finding.says.startswith("example 2 and example 5 are nearly the same, and labelled alike")


def test_texts_that_are_nearly_the_same_and_labelled_differently_are_told() -> None:
    near = example("my boss wants the report tonight, again")
    (finding,) = findings([*COMPLETE, near], "near_duplicate")
    assert "labelled differently: look at them again" in finding.says


def test_the_highest_severity_without_risk_is_refused() -> None:
    with pytest.raises(TaskError, match="example 4 is not at risk and has the severity high: correct one"):
        checked([*COMPLETE[:3], example("see you at the lake on Sunday", severity=HIGH)], STRESS)


def test_a_severity_in_between_without_risk_is_told() -> None:
    (finding,) = findings([*COMPLETE[:3], example("see you", severity=MODERATE)], "severity_without_risk")
    assert not finding.refuses
    assert finding.says.startswith("example 4: not at risk, and with a severity above low")


def test_the_lowest_level_may_mean_that_there_is_no_risk() -> None:
    assert not findings([*COMPLETE[:3], example("see you", severity=LOW)], "severity_without_risk")


def test_a_level_that_nobody_has_is_told() -> None:
    (finding,) = findings([each for each in COMPLETE if each.severity != HIGH], "no_example_of_level")
    assert finding.says.startswith("no example has the severity high:")


def test_examples_without_any_severity_are_told() -> None:
    bare = [msgspec.structs.replace(each, severity=None) for each in COMPLETE]
    assert [finding.kind for finding in find(bare, STRESS)] == ["no_severity"]


@pytest.mark.parametrize("text", ["\u200b\u200d", "\u2066\u2069 "])
def test_a_text_that_nobody_can_see_is_refused(text: str) -> None:
    with pytest.raises(TaskError, match="example 5: the text is empty, or nothing but invisible characters"):
        checked([*COMPLETE, example(text)], STRESS)


def test_signs_and_emoji_are_texts() -> None:
    assert not findings([*COMPLETE, example("?"), example("\U0001f62d")], "invisible_text")


def test_an_example_of_the_test_file_is_refused_with_files_and_rows(tmp_path: Path) -> None:
    train, test = (
        _written(tmp_path / name, rows) for name, rows in (("train", COMPLETE), ("test", [COMPLETE[0]]))
    )
    with pytest.raises(
        TaskError, match=r"train\.jsonl, row 1 is also \S+test\.jsonl, row 1: a test tells nothing"
    ):
        checked(read_examples(train, STRESS), STRESS, read_examples(test, STRESS))


def test_rows_keep_their_numbers_when_repeated_ones_are_left_out(tmp_path: Path) -> None:
    file = tmp_path / "e.csv"
    file.write_text("text,at_risk\nfine,no\n\nFine,no\nbad day,yes\n")
    kept, found = checked(read_examples(file, STRESS), STRESS)
    assert getattr(kept, "places", None) == ("row 1 (line 2)", "row 3 (line 5)")
    assert f"{file}, row 2 (line 4) repeats {file}, row 1 (line 2)" in " ".join(each.says for each in found)


def test_many_findings_are_said_in_short() -> None:
    twice = [example(f"number {n}", at_risk=side) for side in (True, False) for n in range(9)]
    with pytest.raises(TaskError, match=r"; and 4 more$"):
        checked(twice, STRESS)


def test_findings_never_quote_a_text(tmp_path: Path) -> None:
    words = "zanzibar quokka marmalade fandango"
    rows = [example(words, at_risk=True, severity=LOW), example(f"{words}!"), example(words.upper())]
    file = _written(tmp_path / "rows", rows)
    labelled = read_examples(file, STRESS)
    said = " ".join(finding.says for finding in find(labelled, STRESS, labelled)).lower()
    assert "row 3" in said
    assert not any(word in said for word in words.split())


def test_a_row_that_waits_for_its_label_is_named(tmp_path: Path) -> None:
    file = tmp_path / "to-label.jsonl"
    file.write_text('{"text": "a", "at_risk": true}\n{"text": "b", "at_risk": null, "severity": null}\n')
    with pytest.raises(
        TaskError, match=r"row 2: `at_risk` is empty: label the row with true or false.*leave it out"
    ):
        read_examples(file, STRESS)


def _written(path: Path, rows: list[LabelledExample]) -> Path:
    file = path.with_suffix(".jsonl")
    file.write_bytes(b"\n".join(map(msgspec.json.encode, rows)))
    return file
