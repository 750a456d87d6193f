"""Turns a text that came by HTTP into an entry as the worker's stations know it, by the same rules."""

import itertools
from typing import Final

from front.errors import RefusedError
from schemas.events import Message
from worker.errors import RecordError
from worker.kafka.record import Record
from worker.stream.batch import Entry
from worker.stream.decode import require_visible, within

PLACE: Final = "http"  # stands where a record of Kafka has its topic; nothing is ever written there
_numbers = itertools.count()


def entry_of(text: str, language: str | None = None) -> Entry:
    """The entry of one text, which the screener can score."""
    record = Record(PLACE, 0, next(_numbers), None, None)
    return Entry(record, message=Message(id=PLACE, text=text, language=language))


def entries_of(texts: list[str], language: str | None, max_text_chars: int, param: str) -> list[Entry]:
    """The entries of a request's texts, in order, cut where a worker would cut them.

    Raises RefusedError: one of them is empty, as a worker would say of it. `param` names them.
    """
    entries = []
    for number, text in enumerate(texts):
        entry = entry_of(text, language)
        message = entry.message
        assert message is not None  # noqa: S101 - entry_of has made it
        try:
            require_visible(message, max_text_chars)
        except RecordError as error:
            place = f"{param}[{number}]" if len(texts) > 1 else param
            raise RefusedError(400, "empty", f"{place}: {error.detail}", place) from None
        entry.message, entry.cut = within(message, max_text_chars)
        entries.append(entry)
    return entries
