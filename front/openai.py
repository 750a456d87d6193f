"""`POST /v1/moderations` in the shape of OpenAI's API, so that its clients need another base URL and no more.

input       a string; a list of strings (a result for each); or a list of {"type": "text"} parts (one text)
categories  the task's own name, and those that the settings map to it; no others. A category that nobody
            screened is absent: false would say that somebody has looked.
flagged     whether any text must be looked at: true for every verdict but clear
mimamori    in each result: what the worker's label would say (`finding.py`)
"""

import secrets
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from front.dialect import Asked
from front.errors import Kind, RefusedError, invalid
from front.finding import Finding
from front.metrics import Api

# OpenAI's models, which its clients name by default. The answer says which model has really read.
_ACCEPTED: Final = ("omni-moderation", "text-moderation")
_TYPES: Final[dict[Kind, str]] = {"busy": "server_error", "failed": "server_error"}
_CODES: Final[dict[Kind, str]] = {
    "unauthorized": "invalid_api_key",
    "unknown_model": "model_not_found",
    "busy": "overloaded",
    "too_large": "request_too_large",
    "unsupported": "unsupported_input",
    "empty": "empty_input",
}


class ModerationRequest(msgspec.Struct, frozen=True):
    """What is read of a request; further fields are ignored, as OpenAI's server does."""

    input: str | list[Any]
    model: str | None = None


class OpenAiDialect:
    """One task's moderation API."""

    api: Api = "openai"

    def __init__(self, model: str, categories: Sequence[str], max_texts: int) -> None:
        """`model` is what answers name; `categories` all have the task's score."""
        self._model = model
        self._categories = tuple(categories)
        self._max_texts = max_texts

    def read(self, body: bytes) -> Asked[ModerationRequest]:
        """See Dialect."""
        try:
            request = msgspec.json.decode(body, type=ModerationRequest)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise invalid(_place(error)) from None
        model = request.model
        if model is not None and model != self._model and not model.startswith(_ACCEPTED):
            raise RefusedError(404, "unknown_model", f"this front has one model: {self._model}", "model")
        return Asked(self._texts(request.input), None, request, "input")

    def answer(self, asked: Asked[ModerationRequest], findings: Sequence[Finding]) -> bytes:
        """See Dialect."""
        del asked
        return msgspec.json.encode(
            {
                "id": f"modr-{secrets.token_hex(12)}",
                "model": self._model,
                "results": [self._result(finding) for finding in findings],
            }
        )

    def refusal(self, error: RefusedError) -> bytes:
        """See Dialect."""
        return msgspec.json.encode(
            {
                "error": {
                    "message": error.message,
                    "type": _TYPES.get(error.kind, "invalid_request_error"),
                    "param": error.param,
                    "code": _CODES.get(error.kind),
                }
            }
        )

    def _result(self, finding: Finding) -> Mapping[str, Any]:
        names = self._categories
        return {
            "flagged": finding.escalate,
            "categories": dict.fromkeys(names, finding.escalate),
            "category_scores": dict.fromkeys(names, finding.risk),
            "category_applied_input_types": {name: ["text"] for name in names},
            "mimamori": finding,
        }

    def _texts(self, given: str | list[Any]) -> list[str]:
        if isinstance(given, str):
            return [given]
        if not given:
            raise invalid("input is an empty list: there is nothing to screen", "input")
        if len(given) > self._max_texts:
            raise RefusedError(
                413, "too_large", f"input has {len(given)} texts, at most {self._max_texts} at once", "input"
            )
        if all(isinstance(one, str) for one in given):
            return given
        return ["\n".join(_part(one, f"input[{number}]") for number, one in enumerate(given))]


def _part(part: object, place: str) -> str:
    match part:
        case {"type": "text", "text": str(text)}:
            return text
        case {"type": "image_url"}:
            raise RefusedError(
                400, "unsupported", f"{place} is an image: this front screens text, and has not looked", place
            )
        case _:
            raise invalid(f'{place} must be a string, or {{"type": "text", "text": …}} in every place', place)


def _place(error: msgspec.DecodeError | UnicodeDecodeError | RecursionError) -> str:
    """What is wrong with a body. Neither library quotes values: only types and places."""
    if isinstance(error, msgspec.ValidationError):
        return f"the request is not of the form of /v1/moderations: {error}"
    return "the request's body is not JSON in UTF-8, or nested too deeply"
