"""Why a request is refused before a page or the desk sees it. Each has one HTTP status and one sentence.

    AccessRefusedError
    ├── NotSignedInError      nobody is signed in, or their time is over   -> 401, or the way to the sign-in
    ├── NoProxyError          no proxy has said who it is                  -> 401
    ├── NotAllowedError       their roles do not allow this                -> 403
    │   └── NoRoleError       they have none at this desk                  -> 403
    ├── ForgedRequestError    not sent by a page of this desk              -> 403
    ├── SignInLostError       begun in another browser, or too long ago    -> 403
    ├── SignInRefusedError    the identity that was shown is not accepted  -> 403
    ├── TooManyRequestsError  more than the limit                          -> 429, with Retry-After
    ├── ProviderDownError     the identity provider does not answer        -> 503, with Retry-After
    └── NoSignOutError        the proxy holds the session                  -> 404

No message says whether a session, a person or a case exists. Pages show their own words for each class
(`access.…` in `review/web/pages/words/`).
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


class NoRoleError(NotAllowedError):
    """Somebody is signed in, and has no role at this desk."""

    def __init__(self) -> None:
        super().__init__("you are signed in, and have no role at this desk: ask whoever runs it for one")


class ForgedRequestError(AccessRefusedError):
    """A change that no page of this desk has sent, or an old one: its token is missing or wrong."""


class SignInLostError(AccessRefusedError):
    """The browser comes back from a sign-in that it has not begun, or too long ago."""

    def __init__(self) -> None:
        super().__init__(
            "this sign-in was begun in another browser, or has taken too long: open the desk once more"
        )


class NoSignOutError(AccessRefusedError):
    """The session is the proxy's, and the settings name no page of it for signing out."""

    status = 404

    def __init__(self) -> None:
        super().__init__("sign out at the proxy that has signed you in: the desk knows no way there")


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
