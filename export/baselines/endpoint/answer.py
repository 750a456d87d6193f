"""Reads a reply: a risk where the model gave one of the two answers, and nothing where it gave another.

A reply is taken as an answer only if it is one: "Yes", "yes.", "Answer: No" or {"answer": "No"}, alone on its
first line. "No, I cannot help with that" is a refusal, and counting it as "No" would clear a person.
"""

import math
import re
from typing import Any, Final

import msgspec

from engine.task import RiskStage

_LABELLED: Final = re.compile(r"^\s*\w+\s*:\s*")  # "Answer: "
_EDGES: Final = re.compile(r"^[\W_]+|[\W_]+$")  # spaces, stops, quotes, marks of emphasis
_EVEN: Final = 0.5


class _Word(msgspec.Struct, frozen=True):
    token: str
    logprob: float


class _Place(msgspec.Struct, frozen=True):
    token: str = ""
    top_logprobs: tuple[_Word, ...] = ()


class _Logprobs(msgspec.Struct, frozen=True):
    content: tuple[_Place, ...] | None = None


class _Message(msgspec.Struct, frozen=True):
    content: str | None = None
    refusal: str | None = None


class _Choice(msgspec.Struct, frozen=True):
    message: _Message
    finish_reason: str | None = None
    logprobs: _Logprobs | None = None


class Usage(msgspec.Struct, frozen=True):
    """Tokens as the endpoint counted them."""

    prompt_tokens: int = 0
    completion_tokens: int = 0


class Reply(msgspec.Struct, frozen=True):
    """A chat completion, as far as it is read."""

    choices: tuple[_Choice, ...]
    model: str | None = None
    usage: Usage | None = None


def read_reply(content: bytes) -> Reply | None:
    """The completion in a response's body; None where it is none."""
    try:
        reply = msgspec.json.decode(content, type=Reply)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    return reply if reply.choices else None


def risk_of(reply: Reply, risk: RiskStage) -> float:
    """The risk in [0, 1]; NaN where the reply is neither of the two answers.

    With logprobs it is the share of the at-risk answer among both, else 0 or 1.
    """
    choice = reply.choices[0]
    if choice.message.refusal or choice.finish_reason == "content_filter":
        return math.nan
    said = _read(choice.message.content or "", risk)
    graded = _graded(choice, risk)
    # A grade of another word than the answer's would be on the other side.
    agrees = graded is not None and not math.isnan(said) and (graded >= _EVEN) == (said >= _EVEN)
    return graded if graded is not None and agrees else said


def _read(content: str, risk: RiskStage) -> float:
    said = content.rsplit("</think>", 1)[-1].strip()
    said = _in_json(said) if said.startswith("{") else said
    line = said.splitlines()[0] if said else ""
    for each in (line, _LABELLED.sub("", line)):
        word = _word(each)
        if word and word in {_word(risk.at_risk), _word(risk.clear)}:
            return float(word == _word(risk.at_risk))
    return math.nan


def _in_json(said: str) -> str:
    """The only text in an object such as {"answer": "Yes"}."""
    try:
        found: Any = msgspec.json.decode(said)
    except msgspec.MsgspecError:
        return ""
    values = list(found.values()) if isinstance(found, dict) else []
    return values[0] if len(values) == 1 and isinstance(values[0], str) else ""


def _graded(choice: _Choice, risk: RiskStage) -> float | None:
    """The risk by the probabilities of the answer's word; None where they are not given.

    It is the last word of the reply that begins one of the answers: before it may stand a thought, or JSON.
    """
    for place in reversed((choice.logprobs.content if choice.logprobs else None) or ()):
        if _side(place.token, risk) is None:
            continue
        shares = {False: 0.0, True: 0.0}
        for word in place.top_logprobs:
            side = _side(word.token, risk)
            if side is not None and word.logprob <= 0:
                shares[side] += math.exp(word.logprob)
        both = shares[False] + shares[True]
        return shares[True] / both if both else None
    return None


def _side(token: str, risk: RiskStage) -> bool | None:
    """True for a token that begins the at-risk answer, False for the clear one, None for others or both."""
    word = _word(token)
    begins = [bool(word) and _word(answer).startswith(word) for answer in (risk.clear, risk.at_risk)]
    return begins[1] if begins[0] != begins[1] else None


def _word(said: str) -> str:
    """Without what stands around it and without case; an answer that is nothing but marks stays as it is."""
    bare = said.strip().casefold()
    return _EDGES.sub("", bare) or bare
