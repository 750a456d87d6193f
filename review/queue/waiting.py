"""What the queue knows about a case: a small struct without text. Pure."""

from typing import Literal, NamedTuple

import msgspec

from review.cases.script import Script
from review.cases.state import Stage
from review.people import Person
from schemas.vocabulary import CaseKind

State = Literal["waiting", "claimed", "second", "lead"]


class Reserved(NamedTuple):
    """A case that was handed over: until then (Unix seconds), it is for this person alone."""

    person: str
    until: float


class Skip(NamedTuple):
    """Somebody put the case back: they are not given it again until then (Unix seconds, or infinity)."""

    person: str
    until: float


class Waiting(msgspec.Struct, frozen=True, gc=False):
    """A case that waits for a person, or is in somebody's hands. `entry_of` makes it.

    `rank` is where its level stands in its task, from 0 (least severe) to 1. `level` is None where the model
    named none; `rank` then comes from the priority. `uncertainty` is in [0, 1]. `since` is when the message
    was sent, or when somebody asked for another decision, in Unix seconds. `readers` have judged it before,
    and are not asked again. `stands_as` is the level and rank that give a blind case its place in lists.
    `script` is that of the text.
    """

    id: str
    task: str
    kind: CaseKind
    level: str | None
    rank: float
    uncertainty: float
    since: float
    priority: float
    conversation: str | None = None
    raised: bool = False
    stage: Stage = "first"
    readers: tuple[str, ...] = ()
    holder: str | None = None
    reserved: Reserved | None = None
    skips: tuple[Skip, ...] = ()
    stands_as: tuple[str | None, float] | None = None
    script: Script | None = None

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
