"""A case at the desk, and what its events so far add up to. Pure.

`review.cases.steps` says how events change it. Every transition is idempotent, so events that are delivered
again, for example after a restart, change nothing.
"""

from datetime import datetime
from typing import Literal

import msgspec

from review.cases.script import Script
from schemas.events import ReviewCase, ReviewDecision
from schemas.headers import Trace
from schemas.vocabulary import CaseAction, Finding

Phase = Literal["waiting", "claimed", "decided", "settled"]
# Who may judge next: anyone, anyone who has not yet, or a lead.
Stage = Literal["first", "second", "lead"]


class Lease(msgspec.Struct, frozen=True):
    """One claim: its random id, who holds it, and until when it is meant to last."""

    id: str
    holder: str
    until: datetime


class Step(msgspec.Struct, frozen=True, omit_defaults=True):
    """One accepted event, as the history of a case shows it. `remark` is sealed; a note is none."""

    action: CaseAction
    actor: str
    at: datetime
    reason: str | None = None
    reader: str | None = None
    remark: str | None = None


class Judgement(msgspec.Struct, frozen=True, omit_defaults=True):
    """What one reader found. A published one is a decision on the topic; the others were referred.

    `digest` is that of the event as it was published, without its note, so that another of the same id is
    noticed. `remark` is the note: sealed, but in what a person sees.
    """

    decision_id: str
    reader: str
    finding: Finding
    severity: str | None
    decided_at: datetime
    published: bool = False
    supersedes: str | None = None
    digest: str | None = None
    remark: str | None = None


# The tag is that of the desk's first version, whose open cases are read as such without a life yet.
class CaseState(msgspec.Struct, frozen=True, tag="open", omit_defaults=True):
    """A case, and what its events so far add up to. Its events are in `partition`.

    `revision` is how many were accepted. `pending` is a decision that can still be undone, until about
    `undo_until`; `by_lead` says that a lead made it. `reader` is the one to whom the case was handed over.
    They have it to themselves until about `reader_until`. `judgements` are in their order, and `skipped` are
    those who gave the case back. `raised` says why it comes first, and `repeats` how many cases there were
    of that author or conversation within 24 hours. `erased_at` is when somebody had the words erased, and
    `told_at` when the broker was told to forget them. `remarks_key` opens what people typed
    (`review.retention.remarks`), such as the `note` of the pending decision. `script` is that of the text.
    `trace` is what the decision will name as its cause.
    """

    case: ReviewCase
    partition: int
    revision: int = 0
    phase: Phase = "waiting"
    stage: Stage = "first"
    lease: Lease | None = None
    reader: str | None = None
    reader_until: datetime | None = None
    pending: ReviewDecision | None = None
    undo_until: datetime | None = None
    by_lead: bool = False
    judgements: list[Judgement] = []
    skipped: list[str] = []
    raised: list[str] = []
    repeats: dict[str, int] = {}
    history: list[Step] = []
    erased_at: datetime | None = None
    told_at: datetime | None = None
    note: str | None = None
    remarks_key: str | None = None
    script: Script | None = None
    trace: Trace | None = None

    @property
    def readers(self) -> frozenset[str]:
        """Those who have judged this case."""
        return frozenset(judged.reader for judged in self.judgements)

    @property
    def standing(self) -> Judgement | None:
        """The decision that stands: the newest that was published."""
        return next((judged for judged in reversed(self.judgements) if judged.published), None)

    @property
    def due(self) -> datetime | None:
        """When a lease, an undo window or a hand-over is meant to end. None where none is open."""
        match self.phase:
            case "claimed":
                return self.lease.until if self.lease else None
            case "decided":
                return self.undo_until
            case "waiting":
                return self.reader_until
            case "settled":
                return None


def with_ids(case: ReviewCase) -> ReviewCase:
    """The case as it is opened: an empty id of an author or a conversation is none.

    Whoever writes "" has no id to give. Taken for one, it would make one conversation of all such messages.
    """
    return msgspec.structs.replace(
        case, author_id=case.author_id or None, conversation_id=case.conversation_id or None
    )


def when_sent(case: ReviewCase) -> datetime:
    """When the message was sent; no later than its case opened, whatever its sender's clock said."""
    return case.opened_at if case.sent_at is None else min(case.sent_at, case.opened_at)
