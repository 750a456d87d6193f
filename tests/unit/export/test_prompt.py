"""A task in a model's words: the template cut at the message, one token per answer."""

from typing import Any

import msgspec
import pytest

from engine.bundle import Prompt
from engine.task import Task
from export.errors import ExportError
from export.examples import LabelledExample
from export.exporting.prompt import Shot, check_context, label_tokens, plain_template, solved, split_prompt
from tests.fakes.tiny_bundle import TASK


def _letters(text: str) -> list[int]:
    return [ord(letter) for letter in text]


def _words(text: str) -> list[int]:
    """One token per word with the space before it, as byte-level tokenizers cut."""
    return [
        hash(word) % 10_000 for word in text.replace(" ", "\0 ").replace("\n", "\0\n\0").split("\0") if word
    ]


def _with(**changes: Any) -> Task:
    return msgspec.structs.replace(TASK, **changes)


def test_the_prompt_is_cut_at_the_message() -> None:
    prompt = split_prompt(TASK, lambda instruction, request: f"[{instruction}] {request} =>")
    assert prompt == Prompt("[Read the message.] Message: ", "\nRisk? =>", "\nHow severe? =>")


def test_braces_in_a_tasks_words_are_words() -> None:
    task = _with(message="{user}: {message} {}")
    assert split_prompt(task, plain_template).prefix.endswith("{user}: ")


def test_a_template_that_shows_the_question_first_is_refused() -> None:
    with pytest.raises(ExportError, match="different prefixes"):
        split_prompt(TASK, lambda _, request: "\n".join(reversed(request.splitlines())))


@pytest.mark.parametrize("times", [0, 2])
def test_a_template_that_loses_or_repeats_the_message_is_refused(times: int) -> None:
    with pytest.raises(ExportError, match=f"{times} times, not once"):
        split_prompt(TASK, lambda _, request: request * times)


def test_an_answer_after_a_word_is_read_with_its_space() -> None:
    prompt = Prompt("", "Answer:", "Answer:")
    found = [label.token_id for label in label_tokens(TASK, prompt, _words)]
    assert found == [_words(f" {answer}")[0] for answer in ("no", "yes", "a", "b", "c")]


def test_an_answer_on_a_new_line_is_read_without() -> None:
    prompt = Prompt("", "assistant\n", "assistant\n")
    labels = label_tokens(TASK, prompt, _words)
    assert [label.token_id for label in labels] == [
        _words(answer)[0] for answer in ("no", "yes", "a", "b", "c")
    ]
    assert [label.name for label in labels] == ["clear", "at_risk", "low", "moderate", "high"]


def test_an_answer_of_several_tokens_is_named() -> None:
    with pytest.raises(ExportError, match="risk answer 'no' is not one token for this model but 2"):
        label_tokens(TASK, Prompt("", "?\n", "?\n"), _letters)


def test_an_answer_the_tokenizer_does_not_know_is_refused() -> None:
    with pytest.raises(ExportError, match="has no token for the answer of at_risk"):
        label_tokens(TASK, Prompt("", "?\n", "?\n"), _words, unknown=_words("yes")[0])


def test_an_answer_that_is_a_text_of_its_own_is_read_without_the_suffix() -> None:
    prompt = Prompt("", "Answer:", "Answer:")
    found = [label.token_id for label in label_tokens(TASK, prompt, _words, apart=True)]
    assert found == [_words(answer)[0] for answer in ("no", "yes", "a", "b", "c")]


def test_the_context_must_hold_prompt_and_message() -> None:
    prompt = Prompt("12345", "123", "1234")
    check_context(TASK, prompt, 10, _letters)
    with pytest.raises(ExportError, match="needs 10 tokens but the model reads 9"):
        check_context(TASK, prompt, 9, _letters)


EXAMPLES = [LabelledExample(text=f"{'bad' if n % 3 else 'good'} {n}", at_risk=bool(n % 3)) for n in range(9)]


def test_shots_are_at_risk_and_not_in_turn() -> None:
    shots = solved(TASK, EXAMPLES, 3)
    assert shots == [
        Shot("Message: bad 1\nRisk?", "yes"),
        Shot("Message: good 0\nRisk?", "no"),
        Shot("Message: bad 2\nRisk?", "yes"),
    ]
    assert solved(TASK, EXAMPLES, 0) == []


@pytest.mark.parametrize("count", [7, 100, -1])
def test_more_shots_than_examples_of_either_kind_are_refused(count: int) -> None:
    with pytest.raises(ExportError, match="there are 6 and 3"):
        solved(TASK, EXAMPLES, count)


def test_shots_stand_between_the_instruction_and_the_message() -> None:
    prompt = split_prompt(TASK, lambda i, r: plain_template(i, r, solved(TASK, EXAMPLES, 2)))
    assert prompt.prefix == (
        "Read the message.\n\nMessage: bad 1\nRisk?\nAnswer: yes\n\nMessage: good 0\nRisk?\nAnswer: no\n\n"
        "Message: "
    )
