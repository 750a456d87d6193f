"""Faust's and aiokafka's own logs, as one structured line each: no traceback, no record value.

The desk's own events go to structlog directly; whoever starts the desk configures it.
"""

import logging

import structlog

log = structlog.get_logger()


class OneLine(logging.Handler):
    """Passes a library's warning on. A traceback becomes the error's class: its locals may be text."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line."""
        message = record.getMessage().splitlines()
        fault = record.exc_info[0].__name__ if record.exc_info and record.exc_info[0] else None
        log.log(
            record.levelno,
            "library_says",
            library=record.name,
            message=message[0] if message else "",
            **({"error": fault} if fault else {}),
        )


def capture_library_logs() -> None:
    """Send what libraries log at WARNING and above to structlog."""
    logging.basicConfig(level=logging.WARNING, handlers=[OneLine()], force=True)
    # Quotes the whole record when a send fails; `review.agents` says so without it.
    logging.getLogger("faust.topics").setLevel(logging.CRITICAL)
