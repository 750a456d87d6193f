"""Why a request is refused before a page or the desk sees it. Each has one HTTP status and one sentence.

    AccessRefusedError
    ├── NotSignedInError      nobody is signed in, or their time is over   -> 401, or the way to the sign-in
    ├── NotAllowedError       their roles do not allow this                -> 403
    ├── ForgedRequestError    not sent by a page of this desk              -> 403
    └── TooManyRequestsError  more than the limit                          -> 429, with Retry-After

No message says whether a session, a person or a case exists.
"""

from typing import ClassVar


class AccessRefusedError(Exception):
    """A request is refused. The message is for the person who sent it."""

    status: ClassVar[int] = 403


class NotSignedInError(AccessRefusedError):
    """Nobody is signed in."""

    status = 401

    def __init__(self) -> None:
        super().__init__("sign in first: nobody is signed in here, or the time since the sign-in is over")


class NotAllowedError(AccessRefusedError):
    """The person's roles do not allow this."""


class ForgedRequestError(AccessRefusedError):
    """A change that no page of this desk has sent, or an old one: its token is missing or wrong."""


class TooManyRequestsError(AccessRefusedError):
    """More requests than the limit allows. `retry_after_s` says when there is room again."""

    status = 429

    def __init__(self, retry_after_s: int) -> None:
        super().__init__(f"too many requests: try again in {retry_after_s} s")
        self.retry_after_s = retry_after_s
