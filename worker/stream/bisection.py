"""What the engine fails on as a whole is read in halves, until the one text it cannot read is found.

    [a b c d] fails ──► [a b] is read
                   └──► [c d] fails ──► [c] is read
                                   └──► [d] fails alone: is it the text, or the engine?

The engine is asked to read a control text. If it cannot, it is the engine: its error goes on and stops the
worker, with nothing committed. If it can, the text gets a second chance alone, and is refused if that fails
too. So one poisonous message does not stop the stream, a passing fault costs nobody their label, and a device
that is gone refuses nothing. To find one text in n costs about 2 log2(n) calls.

A control text is easier to read than most messages. So where several texts were asked and not one of them
was read, that stops the worker as well: nothing fails open, one message after the other.
"""

from collections.abc import Callable, Sequence
from typing import Final, TypeVar

import structlog

from engine.errors import DeviceError
from worker.telemetry.logs import where

Answer = TypeVar("Answer")

CONTROL: Final = "good morning"

log = structlog.get_logger()


def read_in_halves(
    ask: Callable[[Sequence[str]], Sequence[Answer]], texts: Sequence[str]
) -> tuple[dict[str, Answer], dict[str, Exception]]:
    """Return the answer to each of `texts` (distinct), and the error of each that cannot be read.

    `ask` answers as many as it is asked, in order. Raises what it raised last where it does not read the
    control text; DeviceError where it read none of several texts; ValueError where it answers too few or
    too many.
    """
    answers: dict[str, Answer] = {}
    refused: dict[str, Exception] = {}
    pieces = [texts] if texts else []
    while pieces:
        piece = pieces.pop()
        try:
            found = ask(piece)
        except Exception as error:  # noqa: BLE001 - whatever it is, the control text tells what it means
            if piece is texts:
                log.warning("batch_failed", texts=len(texts), kind=type(error).__name__, at=where(error))
            if len(piece) > 1:
                middle = len(piece) // 2
                pieces += [piece[middle:], piece[:middle]]
                continue
            ask([CONTROL])
            try:
                found = ask(piece)
            except Exception as again:  # noqa: BLE001 - the same
                refused[piece[0]] = again
                continue
        answers |= zip(piece, found, strict=True)
    if refused:
        log.warning("texts_refused", refused=len(refused), read=len(answers))
    if len(refused) == len(texts) > 1:
        kinds = ", ".join(sorted({type(error).__name__ for error in refused.values()}))
        raise DeviceError(
            f"the model fails on every message of a batch of {len(texts)} ({kinds}), though not on a control "
            "text: look at the device's memory, and at `mimamori doctor`; nothing was committed"
        )
    return answers, refused
