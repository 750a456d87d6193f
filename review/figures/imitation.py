"""Makes cases of golden items that look like the real cases beside them.

A golden item that is the only case without an author, or whose ids are of another make, is known before it is
read. So each imitates a real case of its task in everything that a reviewer sees: the make of its ids, the
levels, how long the message waited. Its place (`origin`) lies among those of real cases, between two that
follow one another: the message there was cleared, or will have been, so that no case is opened for it.

Its own id lies beyond the offsets of any topic, so that it can never be taken for a message's case, neither
by the desk nor by Kafka when it compacts. The desk shows the id that a case of its `origin` would have.
"""

import secrets
from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from itertools import pairwise
from string import ascii_lowercase, ascii_uppercase, digits, hexdigits
from typing import Final

import msgspec

from review.cases.form import severity_levels
from review.errors import DeskError
from review.figures.golden import GoldenItem
from schemas.events import Origin, ReviewCase
from schemas.ids import case_id

LABEL: Final = "golden:"
# Beyond the offsets of any real topic, so that no message's case has this id.
FIRST_OFFSET: Final = 10**15
_ALPHABETS: Final = (digits, hexdigits[:16], ascii_lowercase, ascii_uppercase, digits + ascii_uppercase)
_TRIES: Final = 100
_LONGEST_WAIT: Final = timedelta(days=3650)


class Imitation:
    """Makes cases like `real` ones, the latest on the topic. `gone` are places of cases that are deleted.

    `whole` says that no older case is on the topic.
    """

    def __init__(self, real: Sequence[ReviewCase], gone: Iterable[Origin] = (), *, whole: bool) -> None:
        self._real = [case for case in real if case.kind in {"escalation", "quality_sample"}]
        self._taken: defaultdict[tuple[str, int], set[int]] = defaultdict(set)
        for origin in [*(case.origin for case in real), *gone]:
            self._taken[origin.topic, origin.partition].add(origin.offset)
        self._first = -1 if whole else None

    def case(self, item: GoldenItem, now: datetime) -> ReviewCase:
        """A new case of an item.

        Raises DeskError: there is no case of its task to imitate, or its levels are not the task's.
        """
        like = [case for case in self._real if case.task == item.task and case.text is not None]
        if not like:
            raise DeskError(
                f"item {item.id}: no case of the task {item.task} with a text is among the latest on the "
                "topic. Reviewers would know an item that looks like no other: send it when there are some"
            )
        model = secrets.choice(like)
        levels = list(severity_levels(model))
        if item.levels and levels and set(item.levels) != set(levels):
            raise DeskError(f"item {item.id}: `levels` must be those of the task: {', '.join(levels)}")
        origin = self._free_place(secrets.SystemRandom().sample(like, len(like)))
        return ReviewCase(
            id=case_id(
                msgspec.structs.replace(origin, offset=FIRST_OFFSET + secrets.randbelow(FIRST_OFFSET))
            ),
            label_id=f"{LABEL}{item.id}",
            message_id=_like(model.message_id, [case.message_id for case in self._real]),
            origin=origin,
            task=item.task,
            kind="golden",
            verdict=None,
            risk=None,
            severity=None,
            priority=50.0,
            reasons=[],
            bundle=None,
            conversation_id=_like_some(model.conversation_id, [case.conversation_id for case in self._real]),
            text=item.text,
            opened_at=now,
            levels=levels or item.levels,
            author_id=_like_some(model.author_id, [case.author_id for case in self._real]),
            sent_at=_sent(model, now),
        )

    def _free_place(self, like: Sequence[ReviewCase]) -> Origin:
        """A place between two cases that follow one another, the latest such. It is taken from then on."""
        for case in like:
            topic, partition = case.origin.topic, case.origin.partition
            taken = self._taken[topic, partition]
            known = sorted(taken if self._first is None else {self._first, *taken}, reverse=True)
            for after, before in pairwise(known):
                if after - before > 1:
                    offset = before + 1 + secrets.randbelow(after - before - 1)
                    taken.add(offset)
                    return Origin(topic, partition, offset)
        raise DeskError(
            "each of the latest messages on the topic has a case of its own, so that there is no place for a "
            "golden item between them: send it when messages have been cleared"
        )


def _sent(model: ReviewCase, now: datetime) -> datetime | None:
    """When a message was sent that waited as long as the model's, as exactly as that says, on its clock."""
    if model.sent_at is None:
        return None
    # A clock that is years off would carry the item out of the calendar.
    waited = min(max(model.opened_at - model.sent_at, -_LONGEST_WAIT), _LONGEST_WAIT)
    sent = (now - waited).astimezone(model.sent_at.tzinfo)
    for unit in (1_000_000, 1_000):
        if model.sent_at.microsecond % unit == 0:
            return sent.replace(microsecond=sent.microsecond // unit * unit)
    return sent


def _like_some(model: str | None, known: Iterable[str | None]) -> str | None:
    return None if model is None else _like(model, [each for each in known if each is not None])


def _like(model: str, known: Sequence[str]) -> str:
    """A new id of the same make: what its kind have in common stays, and the rest is drawn."""
    peers = [each for each in known if len(each) == len(model)]
    seen = [set(place) for place in zip(model, *peers, strict=True)]
    for numbers in (False, True):  # where all that differs is used up, or nothing does: any digit anywhere
        for _ in range(_TRIES):
            made = "".join(
                secrets.choice(_alphabet(place)) if len(place) > 1 or (numbers and kept.isdigit()) else kept
                for kept, place in zip(model, seen, strict=True)
            )
            if made not in known:
                return made
    return made


def _alphabet(seen: set[str]) -> str:
    """The smallest usual alphabet of these characters; they themselves where there is none."""
    return next((each for each in _ALPHABETS if seen <= set(each)), "".join(sorted(seen)))
