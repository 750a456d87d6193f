"""Writes solved examples into a bundle's prompt, without the model's chat template.

The prompt that export split shows how the template writes a turn: what stands after the instruction or before
it opens a user's turn, and what stands after the question ends it. So a bundle needs no template, no torch
and no new export to be asked with shots. A template that does not show it is refused.
"""

import re
from collections.abc import Sequence
from typing import Final, NamedTuple

from engine.bundle import Prompt
from engine.errors import TaskError
from engine.task import Task
from export.examples import LabelledExample

_COMPLETED: Final = "Answer:"  # what a model without a template completes (export/exporting/prompt.py)
_OPENING: Final = re.compile(r"<[^<>\s]+>[^<>]*$")


class Turns(NamedTuple):
    """What stands between a question and its answer, and between that and the next message."""

    before_answer: str
    between: str


def with_shots(prompt: Prompt, task: Task, shots: Sequence[LabelledExample]) -> Prompt:
    """The prompt with each of `shots` as a risk question that was asked and answered, in this order.

    Raises TaskError: the template's turns cannot be told from the prompt.
    """
    turns = turns_of(prompt, task)
    answers = {True: task.risk.at_risk, False: task.risk.clear}
    solved = (
        f"{shot.text.strip()}{prompt.risk_suffix}{turns.before_answer}{answers[shot.at_risk]}{turns.between}"
        for shot in shots
    )
    return Prompt(prompt.prefix + "".join(solved), prompt.risk_suffix, prompt.severity_suffix)


def turns_of(prompt: Prompt, task: Task) -> Turns:
    """How the template that made `prompt` goes on from turn to turn. Raises TaskError: it does not show."""
    head = task.message.partition("{message}")[0]
    before, told, after = prompt.prefix.rpartition(task.instruction)
    _, asked, end = prompt.risk_suffix.rpartition(task.risk.question)
    if told and asked and after.endswith(head):
        if end.strip() == _COMPLETED:
            return Turns(" ", f"\n\n{head}")
        opens_after = after.removesuffix(head)
        if opens_after.strip():  # the instruction is a turn of its own: what ends it ends an answer too
            return Turns("", after)
        opens = _OPENING.search(before)  # it stands in the first user's turn
        if opens is not None:
            marker = opens[0].partition(">")[0] + ">"
            ends, again, _ = end.partition(marker)
            if again:
                return Turns("", f"{ends}{opens[0]}{head}")
    raise TaskError(
        f"the prompt of {task.name} does not show how this model's template goes on after an answer: "
        "shots cannot be compared without exporting it with --shots"
    )
