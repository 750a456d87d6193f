"""Requests that the front refuses. Each dialect says so in its own words, with the same status.

A refusal never quotes a text: it goes to whoever sent the text, but by way of logs and proxies.
"""

from typing import Literal

Kind = Literal[
    "invalid",  # the request is not of the API's form
    "empty",  # a text has nothing that a person could see
    "unsupported",  # the API knows it, this front does not: images, HTML
    "unknown_category",
    "unsupported_language",
    "undecided",  # it was read, and no score would say what its verdict is
    "unknown_model",
    "unauthorized",
    "not_found",
    "too_large",
    "too_slow",  # the body did not come in time
    "busy",
    "failed",
]


class RefusedError(Exception):
    """A request gets no scores. The message says what is wrong and what to do; `param` names the field."""

    def __init__(self, status: int, kind: Kind, message: str, param: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.kind: Kind = kind
        self.message = message
        self.param = param


class BusyError(RefusedError):
    """The texts would wait too long: ask again in `retry_after_s` seconds, or ask another front."""

    def __init__(self, message: str, retry_after_s: int) -> None:
        super().__init__(503, "busy", message)
        self.retry_after_s = retry_after_s


def invalid(message: str, param: str | None = None) -> RefusedError:
    """A request that is not of the API's form."""
    return RefusedError(400, "invalid", message, param)
