"""Turns Faust's and aiokafka's logs into one structured line each, without tracebacks or record values.

The desk logs its own events with structlog directly; the command that starts the desk configures it.
"""

import logging

import structlog

log = structlog.get_logger()


class OneLine(logging.Handler):
    """Passes a library's warning on. Only the error's class is kept of a traceback, which may quote text."""

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
    # This logger quotes the whole record when a send fails; `review.kafka.agents` reports that without it.
    logging.getLogger("faust.topics").setLevel(logging.CRITICAL)
