"""What a span is here, and who makes it. It knows nothing of OpenTelemetry, whose place tests can take.

The names of attributes are those of OpenTelemetry's semantic conventions for messaging:
https://opentelemetry.io/docs/specs/semconv/messaging/kafka/
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Literal, Protocol

from schemas.headers import Trace

# consumer: it takes a message. producer: it writes one.
Kind = Literal["consumer", "producer"]
Value = str | int
Attributes = Mapping[str, Value]
# sent: the collector took it. not_taken: the collector did not answer, or refused. queue_full: spans came
# faster than they could be sent. over_limit: more messages of a second were sampled than may have a span.
SpanOutcome = Literal["sent", "not_taken", "queue_full", "over_limit"]
CountSpans = Callable[[SpanOutcome, int], None]


class Span(Protocol):
    """A span that has begun. It is sent once it has ended, and never if it does not end."""

    @property
    def trace(self) -> Trace:
        """What this span causes names it so."""

    def note(self, what: str, at: float) -> None:
        """Note what happened at a time, in seconds since 1970."""

    def end(self, at: float | None = None, fault: str | None = None) -> None:
        """End it: at a time in seconds since 1970, or now. `fault` says why what it is about failed."""


class Tracer(Protocol):
    """Begins spans. Nothing here waits for a collector, or raises because of one. Used by one thread.

    Times are seconds since 1970.
    """

    def admits(self, sampled: int) -> int:
        """How many of `sampled` messages may have a span now; the others are counted as over the limit."""

    def of_message(
        self,
        name: str,
        kind: Kind,
        attributes: Attributes,
        cause: Trace,
        *,
        batch: Span | None = None,
        at: float | None = None,
    ) -> Span:
        """Begin the span of one message, which goes on with the trace of `cause`. It links to `batch`."""

    def of_batch(
        self, name: str, attributes: Attributes, causes: Sequence[Trace], *, at: float | None = None
    ) -> Span:
        """Begin a trace of its own for many messages at once, with a link to each of `causes`.

        One without causes is recorded by chance, with the ratio of the settings.
        """

    def close(self, within_s: float) -> None:
        """Send what waits, for at most `within_s` seconds; what is left is dropped, and counted."""
