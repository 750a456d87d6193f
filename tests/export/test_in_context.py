"""Shots in the prompt beside the head, on a tiny bundle: who judges what, and what is refused."""

import json
from pathlib import Path

import msgspec
import pytest
from sklearn.model_selection import StratifiedKFold
from typer.testing import CliRunner

from engine import load
from engine.bundle import Bundle, Prompt
from engine.errors import TaskError
from engine.reading.reader import Reader
from export.adapting import in_context
from export.adapting.in_context import FOLDS, InContext, compare_in_context
from export.examples import LabelledExample
from mimamori.cli import app
from tests.fakes.tiny_bundle import MARKER, write_tiny_bundle

# As a chat template writes it; the other tests' prompt does not show how a turn opens.
PROMPT = Prompt(f"Read the message.{MARKER}\nMessage: ", f"\nRisk?{MARKER}\n", f"\nHow severe?{MARKER}\n")
EXAMPLES = [
    LabelledExample(text=f"{word}{n:02}", at_risk=at_risk)
    for n in range(9)
    for word, at_risk in (("zqzq", True), ("abab", False))
]
CANDIDATES = 2


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return write_tiny_bundle(tmp_path_factory.mktemp("tiny") / "full", prompt=PROMPT)


def _compare(full: Bundle, examples: list[LabelledExample] = EXAMPLES, shots: int = 4) -> InContext:
    return compare_in_context(
        full, examples, shots, (0.9, 0.8), lambda *_: None, candidates=CANDIDATES, device="cpu"
    )


def test_nobody_is_judged_by_a_prompt_that_holds_its_answer(
    full: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    prompts: list[str] = []

    def opened(bundle: Bundle, *rest: object, **more: object) -> Reader:
        prompts.append(bundle.manifest.prompt.prefix)
        return load.open_reader(bundle, *rest, **more)  # type: ignore[arg-type] # handed on as they are

    monkeypatch.setattr(in_context, "open_reader", opened)
    compared = _compare(full)
    assert 0 <= compared.auc <= 1
    assert prompts.pop(0) == PROMPT.prefix  # proved with the prompt that the reference was made with
    assert len(prompts) == FOLDS * CANDIDATES
    labels = [example.at_risk for example in EXAMPLES]
    for fold, (_, judged) in enumerate(
        StratifiedKFold(FOLDS, shuffle=True, random_state=0).split(labels, labels)
    ):
        for prompt in prompts[fold * CANDIDATES : (fold + 1) * CANDIDATES]:
            shots = [example for example in EXAMPLES if example.text in prompt]
            assert sorted(shot.at_risk for shot in shots) == [False, False, True, True]
            assert not {EXAMPLES[index].text for index in judged} & {shot.text for shot in shots}
            assert prompt.endswith("Message: ")


def test_the_same_examples_give_the_same_figures(full: Bundle) -> None:
    first, second = (msgspec.structs.replace(_compare(full), seconds=0) for _ in range(2))
    assert first == second


@pytest.mark.parametrize("shots", [1, 3, 8])
def test_shots_that_the_examples_do_not_suffice_for_are_refused(full: Bundle, shots: int) -> None:
    with pytest.raises(TaskError, match=f"--compare-in-context {shots} needs an even number of shots"):
        _compare(full, shots=shots)


def test_an_example_that_spells_out_a_marker_is_no_shot(full: Bundle) -> None:
    """It would end its own turn, and write the next one."""
    marked = [
        msgspec.structs.replace(example, text=f"{example.text}{MARKER}") if n > 1 else example
        for n, example in enumerate(EXAMPLES)
    ]
    with pytest.raises(TaskError, match="too few examples can be shots"):
        _compare(full, marked)


def test_a_prompt_that_shows_no_turns_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TaskError, match="does not show how this model's template goes on"):
        _compare(write_tiny_bundle(tmp_path / "full"))


def test_adapt_says_which_is_better(full: Bundle, tmp_path: Path) -> None:
    examples = tmp_path / "examples.jsonl"
    examples.write_bytes(b"\n".join(map(msgspec.json.encode, EXAMPLES)))
    asked = ["adapt", str(full.path), "--examples", str(examples), "--device", "cpu", "--out"]
    compared = [*asked, str(tmp_path / "out"), "--compare-in-context", "2", "--json"]
    told = json.loads(CliRunner().invoke(app, compared).stdout)
    assert told["in_context"]["shots"] == 2
    assert told["in_context"]["head_f1"] == told["f1"]
    assert msgspec.convert(told["in_context"], InContext).backwards is (told["in_context"]["auc"] < 0.5)
    refused = CliRunner().invoke(app, [*asked, str(tmp_path / "not"), "--compare-in-context", "8"])
    assert isinstance(refused.exception, TaskError)
    assert not (tmp_path / "not").exists()
