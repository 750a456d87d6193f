from pathlib import Path

import pytest
from typer.testing import CliRunner

from engine.errors import TaskError
from engine.task import load_task
from export.examples import read_examples
from mimamori.cli import app
from mimamori.new_task import FEWEST, read_contents, write_task


def test_a_new_task_loads_at_once_with_its_examples(tmp_path: Path) -> None:
    yaml, examples, held_out = write_task("rental-scam", tmp_path / "tasks")
    task = load_task(yaml)
    assert task.name == "rental-scam"
    fitted, measured = read_examples(examples, task), read_examples(held_out, task)
    assert len(fitted) >= FEWEST
    assert sum(row.at_risk for row in fitted) * 2 == len(fitted)
    assert {row.severity for row in fitted if row.at_risk} == set(task.level_names)
    assert not {row.text for row in fitted} & {row.text for row in measured}


def test_what_exists_is_never_written_over(tmp_path: Path) -> None:
    (tmp_path / "spam.heldout.jsonl").write_text("mine")
    with pytest.raises(TaskError, match="exists already"):
        write_task("spam", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["spam.heldout.jsonl"]


@pytest.mark.parametrize("name", ["", "../up", "two words", "a.b"])
def test_a_name_that_a_task_cannot_have_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(TaskError, match="letters, digits and dashes"):
        write_task(name, tmp_path)


def test_a_text_in_both_files_is_refused_and_not_shown(tmp_path: Path) -> None:
    yaml, examples, held_out = write_task("spam", tmp_path)
    held_out.write_text('{"text": "a plum tree in bloom", "at_risk": false}\n')
    examples.write_text(held_out.read_text())
    with pytest.raises(TaskError, match="1 texts are in both") as refusal:
        read_contents(yaml)
    assert "plum" not in str(refusal.value)


def test_the_commands_say_what_is_still_to_be_done(tmp_path: Path) -> None:
    made = CliRunner().invoke(app, ["task", "new", "spam", "--folder", str(tmp_path)])
    assert made.exit_code == 0, made.output
    yaml = tmp_path / "spam.yaml"
    checked = CliRunner().invoke(app, ["task", "check", str(yaml)])
    assert checked.exit_code == 0, checked.output
    assert "12 examples, 6 at risk (low 2, medium 2, high 2)" in checked.output
    assert "12 texts still say REPLACE" in checked.output

    (tmp_path / "spam.heldout.jsonl").unlink()
    yaml.write_text(yaml.read_text().replace("REPLACE", "written"))
    examples = tmp_path / "spam.examples.jsonl"
    examples.write_text("\n".join(examples.read_text().replace("REPLACE", "written").splitlines()[:4]))
    checked = CliRunner().invoke(app, ["task", "check", str(yaml)])
    assert "REPLACE" not in checked.output
    assert "adapt needs 10 examples or more" in checked.output
