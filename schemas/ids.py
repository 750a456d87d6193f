"""Ids of the events that Mimamori writes. They follow from a record's place, so redelivery repeats them.

They are unique for the life of a topic. A topic that is deleted and created again counts its offsets from
zero and so repeats ids: give it a new prefix instead. Two records with the same message id are two records; a
consumer that wants one label per message looks at `message_id`.
"""

import hashlib
import re
from typing import Final

from schemas.events import Origin

_CASE: Final = re.compile(r"case:([^:]+):([0-9]{1,10}):([0-9]{1,19})", re.ASCII)


def label_id(origin: Origin) -> str:
    """The id of the label of the record at `origin`."""
    return _of("label", origin)


def case_id(origin: Origin) -> str:
    """The id of the review case of the record at `origin`; also its key on the topic."""
    return _of("case", origin)


def origin_of_case(case_id: str) -> Origin | None:
    """The origin that a case's id was made from; None where it is no such id."""
    found = _CASE.fullmatch(case_id)
    return None if found is None else Origin(found[1], int(found[2]), int(found[3]))


def shadow_label_id(origin: Origin) -> str:
    """The id of a shadow's label of the record at `origin`."""
    return _of("shadow-label", origin)


def dead_letter_id(origin: Origin) -> str:
    """The id of the dead letter of the record at `origin`."""
    return _of("dead-letter", origin)


def decision_id(case_id: str, reviewer: str, seen: int) -> str:
    """The id of `reviewer`'s decision on a case that had `seen` decisions when they looked at it.

    If a button is pressed twice, both decisions have one id. A second decision that is made after seeing the
    first has another id, and so has a colleague's decision at the same moment.
    """
    hand = hashlib.blake2b(f"{seen}:{reviewer}".encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
    return f"decision:{case_id}:{hand}"


def case_event_id(case_id: str, revision: int, action: str, actor: str, lease: str | None) -> str:
    """The id of one step on a case that had `revision` steps before it.

    A step that is sent again has the same id. So has the one that another desk sends for the same purpose,
    such as the end of a lease.
    """
    hand = hashlib.blake2b(
        "\0".join((action, actor, lease or "")).encode("utf-8", "surrogatepass"), digest_size=8
    ).hexdigest()
    return f"case-event:{case_id}:{revision}:{hand}"


def _of(kind: str, origin: Origin) -> str:
    # A topic's name cannot contain a colon, so no two origins share an id.
    return f"{kind}:{origin.topic}:{origin.partition}:{origin.offset}"
