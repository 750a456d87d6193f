"""Counts what was found at risk of one author, or in one conversation, within 24 hours. Pure.

Windows of 24 hours hop by one: a case belongs to all windows that its own hour lies in, and what counts is
the fullest of them. So the count is the same in whatever order cases of several partitions come, and a case
that is delivered again counts once.
"""

from datetime import datetime
from hashlib import blake2b
from typing import Final

import msgspec

from review.cases.entries import Seen, Subject, SubjectKind
from review.cases.state import when_sent
from schemas.events import ReviewCase

HOURS: Final = 24
# More cases than this of one author or conversation are not told apart: the latest to come are kept.
MAX_SEEN: Final = 100


class Sighting(msgspec.Struct, frozen=True):
    """A case that was found at risk, on its way to the desk that counts what concerns its author.

    `digest` stands for the author or the conversation, whose id does not travel. `partition` is the case's.
    """

    what: SubjectKind
    digest: str
    case_id: str
    hour: int
    partition: int


def sightings(case: ReviewCase, partition: int) -> list[Sighting]:
    """What a case at risk has to tell about its author and its conversation; any other case nothing."""
    if case.verdict != "at_risk" or case.kind == "golden":
        return []
    hour = int(when_sent(case).timestamp() // 3600)
    ids: tuple[tuple[SubjectKind, str | None], ...] = (
        ("author", case.author_id),
        ("conversation", case.conversation_id),
    )
    return [
        Sighting(what, digest_of(what, case.task, subject), case.id, hour, partition)
        for what, subject in ids
        if subject is not None
    ]


def digest_of(what: SubjectKind, task: str, subject: str) -> str:
    """What stands for the id of an author or a conversation in topics and keys; another for each task."""
    whole = f"{what}\0{task}\0{subject}".encode("utf-8", "surrogatepass")
    return blake2b(whole, digest_size=16).hexdigest()


def see(subject: Subject | None, seen: Sighting, partition: int, now: datetime) -> Subject:
    """Return the entry with one case more. A case that it has already changes nothing."""
    known = subject.cases if subject else []
    if subject is not None and any(case.case_id == seen.case_id for case in known):
        return subject
    cases = [*known, Seen(seen.case_id, seen.hour, seen.partition)]
    return Subject(seen.what, partition, cases[-MAX_SEEN:], now)


def fullest(subject: Subject, case_id: str) -> list[Seen]:
    """The cases of the fullest window that this case lies in, itself included; none where it is not there."""
    own = next((case.hour for case in subject.cases if case.case_id == case_id), None)
    if own is None:
        return []
    windows = (
        [case for case in subject.cases if last - HOURS < case.hour <= last]
        for last in range(own, own + HOURS)
    )
    return max(windows, key=len)
