"""Opens a tracer, where the settings name a collector. Only then is OpenTelemetry imported."""

import socket
from importlib.metadata import version

from tracing.destination import Destination
from tracing.spans import CountSpans, Tracer


def open_tracer(
    to: Destination | None, count: CountSpans, *, service: str, ratio: float, at_most: float
) -> Tracer | None:
    """Make the tracer of a process; None where nothing is sent.

    Args:
        to: The collector; None: none is named.
        count: Told what became of spans, from any thread.
        service: `service.name` of all spans.
        ratio: Share of the batches without a sampled message that are recorded.
        at_most: Most messages a second that get a span.

    Raises ModuleNotFoundError: the extra `traces` is not installed.
    """
    if to is None:
        return None
    from tracing.sending import OtlpTracer  # noqa: PLC0415 - an extra installs what it imports

    return OtlpTracer(
        to,
        count,
        service=service,
        version=version("mimamori"),
        instance=socket.gethostname(),
        ratio=ratio,
        at_most=at_most,
    )
