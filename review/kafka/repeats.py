"""Raises the priority of cases whose author, or whose conversation, is found at risk again and again.

    case at risk      ->  a sighting for its author, one for its conversation, on `case-subjects`
    sighting          ->  the window of that author, in the table of the desk that holds the partition
    window full       ->  `raised`, on case-events, in the partition of each case in it

The cases of one author lie in many partitions, so no desk sees all of them. `case-subjects` is keyed by a
digest of the author's id, so that one desk counts all of them. Each step is written before the next is
acknowledged and changes nothing a second time, so that a desk may die anywhere.
"""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime

import msgspec

from review.cases.entries import Seen, Subject
from review.cases.keys import subject_key
from review.cases.windows import Sighting, fullest, see, sightings
from review.kafka.table import Entries
from review.people import DESK
from schemas.events import CaseEvent, ReviewCase
from schemas.ids import case_event_id

SendSighting = Callable[[Sighting], Awaitable[object]]
SendStep = Callable[[CaseEvent, int], Awaitable[object]]


class Repeats:
    """What the agents do about repeated cases. `least` is how many raise the priority; 0 turns it off."""

    def __init__(
        self,
        table: Entries,
        tell: SendSighting,
        send: SendStep,
        *,
        least: int,
        clock: Callable[[], datetime],
    ) -> None:
        self._table = table
        self._tell = tell
        self._send = send
        self._least = least
        self._clock = clock

    async def on_case(self, case: ReviewCase, partition: int) -> None:
        """A case has arrived, and is in the table: tell those who count, and wait until Kafka has it."""
        if self._least:
            await asyncio.gather(*(self._tell(seen) for seen in sightings(case, partition)))

    async def on_sighting(self, seen: Sighting, partition: int) -> str:
        """Count a case once, and raise what is to be raised. Returns what it did."""
        key = subject_key(seen.digest)
        before = self._table.get(key)
        known = before if isinstance(before, Subject) else None
        subject = see(known, seen, partition, self._clock())
        window = fullest(subject, seen.case_id) if self._least and subject is not known else []
        raised = len(window) >= self._least > 0
        if raised:
            # The first time, all of the window; from then on, each that comes.
            due = window if len(window) == self._least else [window_case(window, seen.case_id)]
            await asyncio.gather(*(self._raise(case, seen, len(window)) for case in due))
        await self._table.put(key, subject, over=before)
        return "raised" if raised else "repeated" if subject is known else "counted"

    async def _raise(self, case: Seen, seen: Sighting, count: int) -> None:
        reason = f"{seen.what}:{count}"
        made = case_event_id(case.case_id, 0, "raised", DESK, reason)
        event = CaseEvent(made, case.case_id, 0, "raised", DESK, self._clock(), reason=reason)
        await self._send(event, case.partition)


def window_case(window: list[Seen], case_id: str) -> Seen:
    """The case of this id. Raises StopIteration: it is not there."""
    return next(case for case in window if case.case_id == case_id)


_decoder = msgspec.json.Decoder(Sighting)


def read_sighting(value: bytes | None) -> Sighting | None:
    """What a record says; None where it is none."""
    try:
        return _decoder.decode(value or b"")
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None
