"""Says who may take which step on a case now, in sentences. Pure.

The rules of every case (`review.cases.steps`) hold whatever a desk sends. Here are those that need to know
who somebody is, and the reasons for people. Each function returns what the step needs, or raises the refusal.
"""

from review.cases.state import CaseState, Judgement, Lease
from review.cases.steps import may_read
from review.errors import (
    ClosedCaseError,
    ConflictError,
    HeldByAnotherError,
    NotAllowedError,
    StaleLeaseError,
)
from review.people import Person


def may_claim(state: CaseState, person: Person) -> None:
    """Check that this person may claim the case.

    Raises NotAllowedError, HeldByAnotherError, ClosedCaseError.
    """
    works_here(person)
    if state.phase == "settled":
        raise ClosedCaseError("this case is decided; a lead can reopen it")
    if state.phase == "decided":
        raise ClosedCaseError("this case has just been decided")
    if state.phase == "claimed":
        mine = state.lease is not None and state.lease.holder == person.id
        raise HeldByAnotherError("you have this case already" if mine else "a colleague has this case")
    if state.stage == "lead" and not person.may("lead"):
        raise NotAllowedError("this case waits for a lead")
    if not may_read(state, person.id):
        if state.reader is not None and state.reader != person.id:
            raise HeldByAnotherError("this case was handed over to a colleague, and waits for them")
        raise NotAllowedError("you have judged this case already: another reader is asked now")


def holds(state: CaseState, lease: str, person: Person) -> Lease:
    """The claim of this person, which has this id. Raises ClosedCaseError, StaleLeaseError."""
    works_here(person)
    if state.phase in {"decided", "settled"}:
        raise ClosedCaseError("this case is decided")
    if state.lease is None or state.lease.id != lease or state.lease.holder != person.id:
        raise StaleLeaseError("your time with this case ran out, or it was taken back: claim it again")
    return state.lease


def may_release(state: CaseState, lease: str, person: Person) -> Lease:
    """The claim to end: one's own or, for a lead, anybody's. Raises ClosedCaseError, StaleLeaseError."""
    if person.may("lead") and state.phase == "claimed" and state.lease and state.lease.id == lease:
        return state.lease
    return holds(state, lease, person)


def may_undo(state: CaseState, person: Person) -> Lease:
    """The claim of the pending decision. Raises ClosedCaseError, ConflictError, NotAllowedError."""
    works_here(person)
    if state.phase == "settled":
        raise ClosedCaseError("the decision stands now; a lead can reopen the case")
    if state.phase != "decided" or state.lease is None:
        raise ConflictError("there is no decision to undo")
    if state.lease.holder != person.id:
        raise NotAllowedError("a colleague made this decision, and only they can undo it")
    return state.lease


def may_reopen(state: CaseState, person: Person) -> Judgement:
    """The decision to ask for again. Raises NotAllowedError, ConflictError."""
    if not person.may("lead"):
        raise NotAllowedError("only a lead can reopen a case")
    stands = state.standing
    if state.phase != "settled" or stands is None:
        raise ConflictError("this case is open: it can be reopened once its decision stands")
    return stands


def may_reveal(state: CaseState, person: Person) -> None:
    """Check that this person may read the text now: who holds the case, who judged it, or a lead.

    Raises NotAllowedError.
    """
    if not reveals_to(state, person):
        raise NotAllowedError("claim the case to read its text")


def reveals_to(state: CaseState, person: Person) -> bool:
    """Whether this person may read the text now."""
    holder = state.lease.holder if state.lease else None
    return person.may("lead") or (person.may("reviewer") and person.id in {holder, *state.readers})


def works_here(person: Person) -> None:
    """Check that this person decides cases at all. Raises NotAllowedError."""
    if not person.may("reviewer", "lead"):
        raise NotAllowedError("only reviewers and leads take cases")
