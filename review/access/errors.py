"""Why a request is refused before a page or the desk sees it. Each has one HTTP status and one sentence.

    AccessRefusedError
    ├── NotSignedInError      nobody is signed in, or their time is over   -> 401, or the way to the sign-in
    ├── NoProxyError          no proxy has said who it is                  -> 401
    ├── NotAllowedError       their roles do not allow this                -> 403
    ├── ForgedRequestError    not sent by a page of this desk              -> 403
    ├── SignInRefusedError    the identity that was shown is not accepted  -> 403
    ├── TooManyRequestsError  more than the limit                          -> 429, with Retry-After
    └── ProviderDownError     the identity provider does not answer        -> 503, with Retry-After

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


class NoProxyError(AccessRefusedError):
    """The proxy has said nothing about who this is, or there was none."""

    status = 401

    def __init__(self) -> None:
        super().__init__("no proxy has said who you are: open the desk at its own address, through the proxy")


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


class SignInRefusedError(AccessRefusedError):
    """An identity that was shown is not accepted. `reason` is for the log: a word, and never a token."""

    def __init__(self, reason: str) -> None:
        super().__init__(
            "you are not signed in: what the identity provider answered was not accepted. Try once more; "
            "whoever runs this desk finds the reason in its log"
        )
        self.reason = reason


class ProviderDownError(AccessRefusedError):
    """The identity provider does not answer, or answers what makes no sense. `reason` is for the log."""

    status = 503

    def __init__(self, reason: str) -> None:
        super().__init__(
            "the identity provider does not answer, so nobody can sign in at the moment. Those who are "
            "signed in can go on. Try again in a minute"
        )
        self.reason = reason
        self.retry_after_s = 30
