"""Turns what libraries log into one structured line each, without tracebacks or record values.

They are Faust, aiokafka and aiohttp at the desk, and aiohttp at the HTTP front (`mimamori serve`). Both log
their own events with structlog directly; the commands that start them configure it.
"""

import logging
import time
from collections.abc import Callable
from typing import Final

import structlog

log = structlog.get_logger()


# While a broker is down, its clients say so more than a hundred times a second.
SAME_AGAIN_AFTER_S: Final = 30.0
# What was said first is forgotten first.
MOST_SAID: Final = 1_000


class OneLine(logging.Handler):
    """Passes a library's warning on. Only the error's class is kept of a traceback, which may quote text.

    What a library says over and over is passed on now and then, with how often it was said since: `times`.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._now = now
        # A library has so many messages as its source; what is put into them is not looked at.
        self._said: dict[tuple[str, str], tuple[float, int]] = {}

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line, or none."""
        which, now = (record.name, str(record.msg)), self._now()
        last, times = self._said.get(which, (float("-inf"), 0))
        if now < last + SAME_AGAIN_AFTER_S:
            self._said[which] = (last, times + 1)
            return
        self._said[which] = (now, 0)
        if len(self._said) > MOST_SAID:  # some libraries format their messages themselves
            del self._said[next(iter(self._said))]
        message = record.getMessage().splitlines()
        fault = record.exc_info[0].__name__ if record.exc_info and record.exc_info[0] else None
        log.log(
            record.levelno,
            "library_says",
            library=record.name,
            message=message[0] if message else "",
            **({"error": fault} if fault else {}),
            **({"times": times + 1} if times else {}),
        )


def capture_library_logs() -> None:
    """Send what libraries log at WARNING and above to structlog."""
    logging.basicConfig(level=logging.WARNING, handlers=[OneLine()], force=True)
    # This logger quotes the whole record when a send fails; `review.kafka.agents` reports that without it.
    logging.getLogger("faust.topics").setLevel(logging.CRITICAL)
