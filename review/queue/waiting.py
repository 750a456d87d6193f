"""What the queue knows about a case: a small struct without text, and the filter that picks cases. Pure."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final, Literal, NamedTuple

import msgspec

from review.people import Person
from schemas.events import ReviewCase
from schemas.vocabulary import CaseKind

Stage = Literal["first", "second", "lead"]
State = Literal["waiting", "claimed", "second", "lead"]

# Kinds that check the model and the reviewers. Reviewers read them as ordinary cases.
BLIND: Final[frozenset[CaseKind]] = frozenset({"quality_sample", "golden"})
# The model's numbers say little where it has not read the whole text as it was meant.
DOUBTS: Final = frozenset({"truncated", "unsupported_language", "unscorable", "obfuscated"})
# A clock that is wrong must not carry a case past everybody else's: no message counts as older than this when
# its case opens.
OLDEST_AT_OPENING: Final = 7 * 86_400.0


class Reserved(NamedTuple):
    """A case that was handed over: until then (Unix seconds), it is for this person alone."""

    person: str
    until: float


class Skip(NamedTuple):
    """Somebody put the case back: they are not given it again until then (Unix seconds, or infinity)."""

    person: str
    until: float


class Waiting(msgspec.Struct, frozen=True, gc=False):
    """A case that waits for a person, or is in somebody's hands. Make it with `waiting`.

    `rank` is where its level stands in its task, from 0 (least severe) to 1. `level` is None where the model
    named none; `rank` then comes from the priority. `uncertainty` is in [0, 1]. `since` is when the message
    was sent, or when somebody asked for another decision, in Unix seconds. `readers` have judged it before,
    and are not asked again.
    """

    id: str
    task: str
    kind: CaseKind
    level: str | None
    rank: float
    uncertainty: float
    since: float
    opened: float
    priority: float
    conversation: str | None = None
    raised: bool = False
    stage: Stage = "first"
    readers: tuple[str, ...] = ()
    holder: str | None = None
    reserved: Reserved | None = None
    skips: tuple[Skip, ...] = ()

    @property
    def state(self) -> State:
        """Whom it waits for, or `claimed`."""
        if self.holder is not None:
            return "claimed"
        return "waiting" if self.stage == "first" else self.stage

    def may_be_taken_by(self, person: Person, now: float) -> bool:
        """Whether this person may take it now. `now` is in Unix seconds, here and everywhere in the queue.

        A lead may take again what waits for a lead, since there may be one lead only.
        """
        if self.holder is not None or not person.may("reviewer", "lead"):
            return False
        if self.stage == "lead":
            if not person.may("lead"):
                return False
        elif person.id in self.readers:
            return False
        if self.reserved and self.reserved.person != person.id and now < self.reserved.until:
            return False
        return not any(skip.person == person.id and now < skip.until for skip in self.skips)


class Filter(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which cases are wanted. A field of None does not filter. `mine`: in my hands, or handed to me."""

    task: str | None = None
    kind: str | None = None
    level: str | None = None
    state: State | None = None
    overdue: bool | None = None
    conversation: str | None = None
    mine: bool = False


def waiting(
    case: ReviewCase,
    *,
    since: datetime | None = None,
    raised: bool = False,
    stage: Stage = "first",
    readers: Sequence[str] = (),
    holder: str | None = None,
    reserved: Reserved | None = None,
    skips: Sequence[Skip] = (),
) -> Waiting:
    """What the queue needs to know of a case. `since` is when it was reopened or appealed, if it was.

    Clocks disagree: a message that was sent after its case opened counts as sent at that moment, and one that
    was sent more than a week before as sent a week before.
    """
    opened = case.opened_at.timestamp()
    sent = opened if case.sent_at is None else case.sent_at.timestamp()
    level, rank = _level(case)
    return Waiting(
        id=case.id,
        task=case.task,
        kind=case.kind,
        level=level,
        rank=rank,
        uncertainty=_uncertainty(case),
        since=min(max(sent, opened - OLDEST_AT_OPENING), opened) if since is None else since.timestamp(),
        opened=opened,
        priority=case.priority,
        conversation=case.conversation_id,
        raised=raised,
        stage=stage,
        readers=tuple(readers),
        holder=holder,
        reserved=reserved,
        skips=tuple(skips),
    )


def severity_levels(case: ReviewCase) -> Sequence[str]:
    """The levels that a reviewer may choose, least severe first, as the worker wrote them on the case.

    A case of a version before 4 has them only where it has a severity. Empty where nobody knows them.
    """
    return tuple(case.levels or (case.severity.scores if case.severity else ()))


def _level(case: ReviewCase) -> tuple[str | None, float]:
    if case.kind in BLIND:
        return None, 0.0
    levels = severity_levels(case)
    if case.severity is None or case.severity.level not in levels:
        return None, round(case.priority / 100, 1)  # tenths: each rank is a list of its own in the index
    level = case.severity.level
    return level, levels.index(level) / max(len(levels) - 1, 1)


def _uncertainty(case: ReviewCase) -> float:
    """How unsure the model is: of the level (1 - its probability), or of there being a risk (1 at a half)."""
    if case.risk is None or case.severity is None or not DOUBTS.isdisjoint(case.reasons):
        return 1.0
    of_level = 1.0 - case.severity.scores.get(case.severity.level, 0.0)
    of_risk = 1.0 - abs(2.0 * case.risk - 1.0)
    return max(of_level, of_risk)
