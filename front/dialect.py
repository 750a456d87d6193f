"""What a dialect is: it reads requests, and writes answers and refusals, in the form of one API."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from front.errors import RefusedError
from front.finding import Finding
from front.metrics import Api

Request = TypeVar("Request")


@dataclass(frozen=True)
class Asked(Generic[Request]):
    """A request that was read: its texts in order, their language if it was declared, and the rest of it."""

    texts: list[str]
    language: str | None
    request: Request
    param: str  # how the API calls the field of the texts


class Dialect(Protocol[Request]):
    """One API. It keeps no state of a request."""

    api: Api

    def read(self, body: bytes) -> Asked[Request]:
        """Read a request. Raises RefusedError."""

    def answer(self, asked: Asked[Request], findings: Sequence[Finding]) -> bytes:
        """The answer, as JSON; one finding for each text. Raises RefusedError: it is not to have scores."""

    def refusal(self, error: RefusedError) -> bytes:
        """An error, as JSON."""
