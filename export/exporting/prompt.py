"""Puts a task into a model's words: its chat template, split at the message, and one token per label.

A tokenizer is given as an `encode` function (text -> ids, no special tokens) and the template as a `render`
function, so this needs neither transformers nor torch.
"""

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from engine.bundle import LabelToken, Prompt
from engine.device_names import Stage
from engine.task import Task
from export.errors import ExportError
from export.examples import LabelledExample

Encode = Callable[[str], list[int]]
Render = Callable[[str, str], str]


class Shot(NamedTuple):
    """A solved example in the prompt: the request and the answer."""

    request: str
    answer: str


# Stands for the message while the template is rendered. Templates may trim and escape, not rewrite letters.
_SLOT: Final = "MIMAMORI-MESSAGE-SLOT"


def plain_template(instruction: str, request: str, shots: Sequence[Shot] = ()) -> str:
    """The prompt for a model without a chat template: paragraphs, and a line to complete."""
    solved = "".join(f"{shot.request}\nAnswer: {shot.answer}\n\n" for shot in shots)
    return f"{instruction}\n\n{solved}{request}\nAnswer:"


def solved(task: Task, examples: Sequence[LabelledExample], count: int) -> list[Shot]:
    """Take `count` examples as shots of the risk question, alternately at risk and not, in the file's order.

    Raises ExportError: there are too few of one kind.
    """
    sides = [[each for each in examples if each.at_risk is side] for side in (True, False)]
    pairs = (count + 1) // 2
    if count < 0 or min(map(len, sides)) < pairs:
        raise ExportError(
            f"{count} shots need {pairs} examples at risk and as many not: "
            f"there are {len(sides[0])} and {len(sides[1])}"
        )
    mixed = [example for pair in zip(*sides, strict=False) for example in pair][:count]
    return [
        Shot(_request(task, example.text.strip(), task.risk.question), _answer(task, example))
        for example in mixed
    ]


def split_prompt(task: Task, render: Render) -> Prompt:
    """Render the prompt of both stages and split each at the message.

    Raises ExportError: the template loses or repeats the message, or the prefix changes with the question.
    """
    risk_prefix, risk_suffix = _cut(task, task.risk.question, render)
    severity_prefix, severity_suffix = _cut(task, task.severity.question, render)
    if risk_prefix != severity_prefix:
        raise ExportError(
            f"the chat template gives the stages of {task.name} different prefixes; the prefix must be shared"
        )
    return Prompt(prefix=risk_prefix, risk_suffix=risk_suffix, severity_suffix=severity_suffix)


def label_tokens(
    task: Task, prompt: Prompt, encode: Encode, unknown: int | None = None, *, apart: bool = False
) -> tuple[LabelToken, ...]:
    """Find the token that each answer adds after its stage's suffix: risk (clear, at_risk), then severity.

    `apart`: the model writes its answer as a separate text, instead of continuing the suffix.

    Raises ExportError naming an answer that is not exactly one token there, or is only the `unknown` one.
    """
    risk = {"clear": task.risk.clear, "at_risk": task.risk.at_risk}
    severity = {level.name: level.answer for level in task.severity.levels}
    if apart:
        prompt = Prompt(prompt.prefix, "", "")
    labels = _stage_tokens(task, "risk", risk, prompt.risk_suffix, encode)
    labels += _stage_tokens(task, "severity", severity, prompt.severity_suffix, encode)
    for label in labels:
        if label.token_id == unknown:
            raise ExportError(
                f"{task.name}: this model's tokenizer has no token for the answer of {label.name}"
            )
    return labels


def check_context(task: Task, prompt: Prompt, context: int, encode: Encode) -> None:
    """Raise ExportError unless prefix, suffix and at least one token of a message fit the context."""
    suffix = max(len(encode(prompt.risk_suffix)), len(encode(prompt.severity_suffix)))
    needed = len(encode(prompt.prefix)) + suffix + 1
    if needed > context:
        raise ExportError(
            f"the prompt of {task.name} needs {needed} tokens but the model reads {context}: "
            "shorten the instruction, or give fewer shots"
        )


def _cut(task: Task, question: str, render: Render) -> tuple[str, str]:
    parts = render(task.instruction, _request(task, _SLOT, question)).split(_SLOT)
    if len(parts) != 2:  # noqa: PLR2004 - before and after
        raise ExportError(
            f"the model's chat template shows the message of {task.name} {len(parts) - 1} times, not once"
        )
    return parts[0], parts[1]


def _request(task: Task, message: str, question: str) -> str:
    # str.format is not used, because a task's words may contain other braces.
    return task.message.replace("{message}", message) + "\n" + question


def _answer(task: Task, example: LabelledExample) -> str:
    return task.risk.at_risk if example.at_risk else task.risk.clear


def _stage_tokens(
    task: Task, stage: Stage, answers: dict[str, str], suffix: str, encode: Encode
) -> tuple[LabelToken, ...]:
    # After a suffix that ends a line, or an empty one, the answer is "Yes"; after one that ends in a word it
    # is " Yes". All answers of a stage must be read the same way, or their logits could not be compared.
    gaps = (" ", "") if suffix[-1:].strip() else ("",)
    before = encode(suffix)
    for gap in gaps:
        added = {name: encode(suffix + gap + answer) for name, answer in answers.items()}
        if all(after[:-1] == before for after in added.values()):
            return tuple(LabelToken(stage, name, after[-1]) for name, after in added.items())
    name = next(name for name, after in added.items() if after[:-1] != before)
    raise ExportError(
        f"{task.name}: the {stage} answer {answers[name]!r} is not one token for this model "
        f"but {len(encode(answers[name]))}: choose a shorter answer, such as a letter"
    )
