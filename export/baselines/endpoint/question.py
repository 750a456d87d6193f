"""Puts a task's risk question to a chat model: instruction, solved examples as earlier turns, the message."""

from collections.abc import Sequence
from typing import Any, Final, Literal

import msgspec

from engine.task import RiskStage, Task
from export.examples import LabelledExample

Turn = dict[Literal["role", "content"], str]
Question = list[Turn]
TOP: Final = 20  # how many first words a reply may weigh: the most that OpenAI gives


def ask_about(task: Task, examples: Sequence[LabelledExample], text: str) -> Question:
    """The conversation that ends with the question about `text`."""
    asked: Question = [{"role": "system", "content": task.instruction}]
    for example in examples:
        answer = task.risk.at_risk if example.at_risk else task.risk.clear
        asked.append({"role": "user", "content": _request(task, example.text.strip())})
        asked.append({"role": "assistant", "content": answer})
    asked.append({"role": "user", "content": _request(task, text)})
    return asked


class Dialect:
    """Which parameters the endpoint takes. It begins with all, and gives up those that are refused.

    Newer models take `max_completion_tokens` instead of `max_tokens` and no temperature; many servers give no
    logprobs.
    """

    def __init__(
        self, risk: RiskStage, answer_tokens: int, *, logprobs: bool, structured: bool, seed: int
    ) -> None:
        """`structured` has the server allow nothing but the two answers, where it can."""
        self._limit = "max_tokens"
        self._tokens = answer_tokens
        self._optional: dict[str, Any] = {"temperature": 0, "seed": seed}
        if logprobs:
            self._optional |= {"logprobs": True, "top_logprobs": TOP}
        if structured:
            self._optional["response_format"] = _one_of(risk.clear, risk.at_risk)

    def body(self, model: str, asked: Sequence[Turn]) -> bytes:
        """The request's JSON."""
        fixed = {"model": model, "messages": asked, self._limit: self._tokens}
        return msgspec.json.encode(fixed | self._optional)

    def without(self, refused: str | None) -> bool:
        """Give up the parameter that was refused, or the next one where none was named.

        False: there is none left to give up.
        """
        if refused == "max_tokens" and self._limit == refused:
            self._limit = "max_completion_tokens"
            return True
        for group in (("logprobs", "top_logprobs"), ("seed",), ("response_format",), ("temperature",)):
            present = [name for name in group if name in self._optional]
            if present and refused in {None, *group}:
                for name in present:
                    del self._optional[name]
                return True
        if refused is None and self._limit == "max_tokens":
            self._limit = "max_completion_tokens"
            return True
        return False


def _request(task: Task, message: str) -> str:
    # Half of a surrogate pair, as a cut text may end with, cannot be sent.
    message = message.encode(errors="replace").decode()
    # str.format is not used, because a task's words may contain other braces.
    return task.message.replace("{message}", message) + "\n" + task.risk.question


def _one_of(*answers: str) -> dict[str, Any]:
    schema = {
        "type": "object",
        "properties": {"answer": {"type": "string", "enum": answers}},
        "required": ["answer"],
        "additionalProperties": False,
    }
    return {"type": "json_schema", "json_schema": {"name": "answer", "strict": True, "schema": schema}}
