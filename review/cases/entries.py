"""Defines the entries of the desk's table, and what a case's arrival does to one. Pure.

    CaseState    a case, and what its events so far add up to; `review.cases.steps` says how
    Decided      the small marker that remains of a settled case once its content is forgotten
    Held         events on one case that were not believed, for a lead to look at
    Erasure      a message or an author whose words somebody asked to erase
    Sweep        when the broker was last told to forget something, in this partition
    Subject      which cases of one author, or of one conversation, were found at risk lately
    Unreadable   a record that is no event at all

Every transition is idempotent, so events that are delivered again, for example after a restart, change
nothing. Markers and settled cases can be pruned; a case that is delivered after that opens again.
"""

from datetime import datetime, timedelta
from hashlib import blake2b
from typing import Final, Literal

import msgspec

from review.cases.script import Script, script_of
from schemas.events import ReviewCase, ReviewDecision
from schemas.headers import Trace
from schemas.vocabulary import CaseAction, CaseKind, Finding

Phase = Literal["waiting", "claimed", "decided", "settled"]
# Who may judge next: anyone, anyone who has not yet, or a lead.
Stage = Literal["first", "second", "lead"]
Arrival = Literal["opened", "repeated", "already_decided"]
SubjectKind = Literal["author", "conversation"]
HeldBecause = Literal[
    "bad_signature", "unknown_case", "ahead_of_its_case", "not_of_this_desk", "not_what_was_settled"
]

MAX_HELD: Final = 20
# A window is 24 hours long; what is late by a day still counts.
KEEP_SUBJECTS: Final = timedelta(hours=48)


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


class Summary(msgspec.Struct, frozen=True, omit_defaults=True):
    """What figures need to know of a settled case, and nothing that says whose it is.

    `since` is when the message was sent, or else the case opened; `guess` is the model's level, and `flagged`
    whether the model escalated it. `judgements` are in their order. `golden` is the item that it is of.
    """

    task: str
    kind: CaseKind
    since: datetime
    guess: str | None
    flagged: bool
    judgements: list[Judgement]
    golden: str | None = None


class Decided(msgspec.Struct, frozen=True, tag="decided", omit_defaults=True):
    """What remains of a settled case: who decided what and when, without any text.

    `tell_at` is when the broker is to be told once more to forget the text, since the case has come again.
    """

    decision_id: str
    case_id: str
    reviewer: str
    finding: Finding
    severity: str | None
    decided_at: datetime
    partition: int
    revision: int = 0
    summary: Summary | None = None
    tell_at: datetime | None = None


class HeldEvent(msgspec.Struct, frozen=True, omit_defaults=True):
    """An event that was not believed: where it stands in Kafka, and what it claims. Nothing of it counts."""

    topic: str
    offset: int
    because: HeldBecause
    action: str
    actor: str
    seen_at: datetime


class Held(msgspec.Struct, frozen=True, tag="held", omit_defaults=True):
    """The events on one case that were not believed: the first of them, and how many more there were."""

    case_id: str
    partition: int
    events: list[HeldEvent]
    more: int = 0


class Erasure(msgspec.Struct, frozen=True, tag="erasure"):
    """What was to be erased at `at`, by its digest; remembered for cases that are read only later."""

    what: Literal["message", "author"]
    digest: str
    partition: int
    at: datetime


class Sweep(msgspec.Struct, frozen=True, tag="sweep", omit_defaults=True):
    """When the broker was last told to forget something in `partition`, and when it was last swept."""

    partition: int
    told_at: datetime
    swept_at: datetime | None = None


class Seen(msgspec.Struct, frozen=True):
    """A case at risk: the hour (since 1970) that its message was sent in, and the case's partition."""

    case_id: str
    hour: int
    partition: int


class Subject(msgspec.Struct, frozen=True, tag="subject"):
    """The cases at risk of one author, or of one conversation, in the order they came. Holds no id of either.

    `partition` is that of the subject, whose cases are in any. `seen_at` is when the latest came.
    """

    what: SubjectKind
    partition: int
    cases: list[Seen]
    seen_at: datetime


class Unreadable(msgspec.Struct, frozen=True, tag="unreadable"):
    """A record that is no event. `detail` names the field or rule, never the content."""

    topic: str
    partition: int
    offset: int
    detail: str
    seen_at: datetime


Entry = CaseState | Decided | Held | Subject | Erasure | Sweep | Unreadable

_decoder: msgspec.json.Decoder[Entry] = msgspec.json.Decoder(Entry)


def encode_entry(entry: Entry) -> bytes:
    """Encode an entry for the table and its changelog."""
    return msgspec.json.encode(entry)


def decode_entry(value: bytes) -> Entry:
    """Decode what `encode_entry` wrote. Raises msgspec.MsgspecError: it is anything else."""
    entry = _decoder.decode(value)
    if isinstance(entry, CaseState) and "" in {entry.case.author_id, entry.case.conversation_id}:
        return msgspec.structs.replace(entry, case=with_ids(entry.case))  # opened by an earlier desk
    return entry


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


def case_key(case_id: str) -> bytes:
    """Return the key of a case or its marker."""
    return b"case:" + case_id.encode()


def case_id_of(key: bytes) -> str | None:
    """Return the id of the case that has this key; None where it is the key of something else."""
    return key[5:].decode() if key.startswith(b"case:") else None


def held_key(case_id: str) -> bytes:
    """Return the key of the events that are held on a case."""
    return b"held:" + case_id.encode()


def erasure_key(partition: int, what: str, digest: str) -> bytes:
    """Return the key of an erasure. Each partition has its own."""
    return f"erasure:{partition}:{what}:{digest}".encode()


def sweep_key(partition: int) -> bytes:
    """Return the key of a partition's sweep: in the table, and of the records that sweep it."""
    return f"sweep:{partition}".encode()


def subject_key(digest: str) -> bytes:
    """Return the key of an author's or a conversation's window."""
    return b"subject:" + digest.encode()


def unreadable_key(topic: str, partition: int, offset: int) -> bytes:
    """Return the key of an unreadable record: its place in Kafka, so that a redelivery counts only once."""
    return f"unreadable:{topic}:{partition}:{offset}".encode()


def receive_case(
    entry: CaseState | Decided | None, case: ReviewCase, partition: int
) -> tuple[CaseState | Decided, Arrival]:
    """Return the entry after a case has arrived, and what that was."""
    match entry:
        case None:
            return CaseState(with_ids(case), partition, script=script_of(case.text)), "opened"
        case CaseState():
            return entry, "already_decided" if entry.phase == "settled" else "repeated"
        case Decided():
            return entry, "already_decided"


def forget(state: CaseState) -> CaseState | Decided:
    """Return the entry without the message's content. Of a settled case only the marker remains."""
    stands = state.standing
    if state.phase == "settled" and stands is not None:
        return Decided(
            stands.decision_id,
            state.case.id,
            stands.reader,
            stands.finding,
            stands.severity,
            stands.decided_at,
            state.partition,
            state.revision,
            summary=summary(state),
        )
    bare = msgspec.structs.replace(state.case, text=None, highlights=[])
    return msgspec.structs.replace(state, case=bare)


def summary(state: CaseState) -> Summary:
    """What figures need to know of a settled case."""
    case = state.case
    return Summary(
        case.task,
        case.kind,
        case.sent_at or case.opened_at,
        case.severity.level if case.severity else None,
        case.verdict in {"at_risk", "uncertain"},
        [msgspec.structs.replace(judged, remark=None) for judged in state.judgements],
        (case.label_id or "").removeprefix("golden:") if case.kind == "golden" else None,
    )


def hold(held: Held | None, case_id: str, partition: int, event: HeldEvent) -> Held:
    """Return the entry of held events with one more. An event that is delivered again counts only once."""
    if held is None:
        return Held(case_id, partition, [event])
    if any((known.topic, known.offset) == (event.topic, event.offset) for known in held.events):
        return held
    if len(held.events) >= MAX_HELD:
        return msgspec.structs.replace(held, more=held.more + 1)
    return msgspec.structs.replace(held, events=[*held.events, event])


def digest_of_held(held: Held) -> str:
    """What stands for exactly these events. Who sets them aside names it, so that no others go with them."""
    return blake2b(encode_entry(held), digest_size=16).hexdigest()


def kept_until(entry: Entry, keep: timedelta) -> datetime | None:
    """Return until when an entry is kept, if for `keep`; windows for two days. None of open cases."""
    closed = _closed_at(entry)
    kept = min(keep, KEEP_SUBJECTS) if isinstance(entry, Subject) else keep
    return None if closed is None else closed + kept


def _closed_at(entry: Entry) -> datetime | None:
    match entry:
        case CaseState():
            return entry.history[-1].at if entry.phase == "settled" and entry.history else None
        case Decided():
            return entry.decided_at
        case Held():
            return max(event.seen_at for event in entry.events)
        case Unreadable() | Subject():
            return entry.seen_at
        case Erasure():
            return entry.at
        case Sweep():
            return None
