"""Shots are written as the model's own template writes them, from what the prompt shows of it."""

from collections.abc import Callable, Sequence

import pytest

from engine.errors import TaskError
from export.adapting.shots import with_shots
from export.examples import LabelledExample
from export.exporting.prompt import Shot, plain_template, solved, split_prompt
from tests.fakes.tiny_bundle import TASK

EXAMPLES = [
    LabelledExample(f" bad day {n}\n" if n % 2 else f"fine {n}", at_risk=n % 2 == 1) for n in range(4)
]

Turns = list[tuple[str, str]]
Render = Callable[[str, str, Sequence[Shot]], str]


def chatml(turns: Turns) -> str:
    said = "".join(f"<|im_start|>{role}\n{words}<|im_end|>\n" for role, words in turns)
    return f"{said}<|im_start|>assistant\n"


def llama3(turns: Turns) -> str:
    said = "".join(
        f"<|start_header_id|>{role}<|end_header_id|>\n\n{words}<|eot_id|>" for role, words in turns
    )
    return f"<|begin_of_text|>{said}<|start_header_id|>assistant<|end_header_id|>\n\n"


def phi3(turns: Turns) -> str:
    return "".join(f"<|{role}|>\n{words}<|end|>\n" for role, words in turns) + "<|assistant|>\n"


def gemma(turns: Turns) -> str:
    names = {"user": "user", "assistant": "model"}
    said = "".join(f"<start_of_turn>{names[role]}\n{words}<end_of_turn>\n" for role, words in turns)
    return f"<bos>{said}<start_of_turn>model\n"


def mistral(turns: Turns) -> str:
    forms = {"user": "[INST] {} [/INST]", "assistant": " {}</s>"}
    return "<s>" + "".join(forms[role].format(words) for role, words in turns)


def _chat(template: Callable[[Turns], str], *, system: bool) -> Render:
    def render(instruction: str, request: str, shots: Sequence[Shot]) -> str:
        turns: Turns = []
        for shot in (*shots, Shot(request, "")):
            turns += [("user", shot.request), ("assistant", shot.answer)]
        turns.pop()
        if system:
            return template([("system", instruction), *turns])
        return template([("user", f"{instruction}\n\n{turns[0][1]}"), *turns[1:]])

    return render


RENDERERS: dict[str, Render] = {
    "chatml": _chat(chatml, system=True),
    "chatml, no system role": _chat(chatml, system=False),
    "llama 3": _chat(llama3, system=True),
    "phi 3": _chat(phi3, system=True),
    "gemma": _chat(gemma, system=False),
    "no template": plain_template,
}


@pytest.mark.parametrize("name", RENDERERS)
@pytest.mark.parametrize("count", [0, 1, 4])
def test_shots_are_written_as_export_writes_them(name: str, count: int) -> None:
    render = RENDERERS[name]
    shots = solved(TASK, EXAMPLES, count)
    exported = split_prompt(TASK, lambda instruction, request: render(instruction, request, shots))
    bare = split_prompt(TASK, lambda instruction, request: render(instruction, request, ()))
    order = [EXAMPLES[index] for index in (1, 0, 3, 2)[:count]]
    assert with_shots(bare, TASK, order) == exported


def test_a_template_whose_turns_do_not_show_is_refused() -> None:
    render = _chat(mistral, system=False)
    bare = split_prompt(TASK, lambda instruction, request: render(instruction, request, ()))
    with pytest.raises(TaskError, match="does not show how this model's template goes on"):
        with_shots(bare, TASK, EXAMPLES)
