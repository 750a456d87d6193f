"""Finds the texts that the engine cannot read: where it fails on a batch, it is given the halves.

    [a b c d] fails ──► [a b] is read
                   └──► [c d] fails ──► [c] is read
                                   └──► [d] fails alone: is it the text, or the engine?

To find out, the engine is asked to read a control text. If it cannot, the engine is at fault: its error is
raised and stops the worker, with nothing committed. If it can, the text is tried alone once more, and refused
if that fails too. So one poisonous message does not stop the stream, a passing fault costs no message its
label, and a device that is gone causes no refusals. Finding one text in n takes about 2 log2(n) calls.

A control text is easier to read than most messages. So the worker also stops where several texts of a batch
were tried and none of them was read (`require_some`). Otherwise a failing device could reject one message
after the other, unscreened. What a batch has of all tasks counts together: two poisonous messages of a rare
task must not stop the others.
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

    `ask` returns one answer per text, in order. Raises the error of `ask` where it does not read the control
    text; ValueError where it returns too few or too many answers.
    """
    answers: dict[str, Answer] = {}
    refused: dict[str, Exception] = {}
    pieces = [texts] if texts else []
    while pieces:
        piece = pieces.pop()
        try:
            found = ask(piece)
        except Exception as error:  # noqa: BLE001 - whatever it is, the control text shows whose fault it is
            if piece is texts:
                log.warning("batch_failed", texts=len(texts), kind=type(error).__name__, at=where(error))
            if len(piece) > 1:
                middle = len(piece) // 2
                pieces += [piece[middle:], piece[:middle]]
                continue
            ask([CONTROL])
            try:
                found = ask(piece)
            except Exception as again:  # noqa: BLE001 - as above
                refused[piece[0]] = again
                continue
        answers |= zip(piece, found, strict=True)
    if refused:
        log.warning("texts_refused", refused=len(refused), read=len(answers))
    return answers, refused


def require_some(read: int, refused: Sequence[Exception]) -> None:
    """Raise DeviceError where several texts of a batch were refused and none, of any task, was read."""
    if read or len(refused) <= 1:
        return
    kinds = ", ".join(sorted({type(error).__name__ for error in refused}))
    raise DeviceError(
        f"the model fails on every message of a batch of {len(refused)} ({kinds}), though not on a control "
        "text: look at the device's memory, and at `mimamori doctor`; nothing was committed"
    )
