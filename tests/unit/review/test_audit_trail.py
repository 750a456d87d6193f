"""What the audit trail promises: first the record, then the deed; and never a text."""

import asyncio
import csv
import io
from datetime import UTC, datetime

import msgspec
import pytest

from review.audit.export import as_csv, as_json_lines
from review.audit.log import Asked, Seen
from review.audit.trail import Trail, stepped
from review.cases.state import CaseState
from review.errors import NotAuditedError
from review.people import Person
from schemas.codec import decode, encode
from schemas.events import AuditRecord, CaseEvent, Origin, ReviewCase, ReviewDecision, Thresholds

ANA = Person("ana@example.org", "Ana", frozenset({"reviewer", "lead"}))
TEXT = "nobody here knows that I stopped eating with the others"
CASE = ReviewCase(
    id="case:messages:0:1",
    label_id="label:messages:0:1",
    message_id="m-1",
    origin=Origin("messages", 0, 1),
    task="stress",
    kind="escalation",
    verdict="at_risk",
    risk=0.9,
    severity=None,
    priority=50.0,
    reasons=["above_upper_threshold"],
    bundle="b" * 64,
    conversation_id=None,
    text=TEXT,
    opened_at=datetime(2026, 11, 26, tzinfo=UTC),
    thresholds=Thresholds(0.2, 0.6, "calibration-3"),
    scored_by="score-7",
)


class Kafka:
    """Takes records, or does not."""

    def __init__(self, answer: Exception | None = None, *, never: bool = False) -> None:
        self.taken: list[AuditRecord] = []
        self._answer = answer
        self._never = never

    async def write(self, record: AuditRecord) -> None:
        if self._never:
            await asyncio.Event().wait()
        if self._answer:
            raise self._answer
        self.taken.append(decode(AuditRecord, encode(record)))


def test_a_record_says_who_saw_which_case_of_which_bundle_and_calibration_and_no_text() -> None:
    kafka = Kafka()
    asyncio.run(Trail(kafka.write, confirm_seconds=5).record(ANA, "revealed", CASE))
    (record,) = kafka.taken
    assert (record.actor, record.roles, record.action) == (
        "ana@example.org",
        ["lead", "reviewer"],
        "revealed",
    )
    assert (record.case_id, record.message_id, record.task) == (CASE.id, "m-1", "stress")
    assert (record.bundle, record.calibration, record.scored_by) == ("b" * 64, "calibration-3", "score-7")
    assert TEXT.encode() not in encode(record)


@pytest.mark.parametrize(
    "kafka", [Kafka(RuntimeError("the disk is full")), Kafka(never=True)], ids=["no", "never"]
)
def test_what_cannot_be_written_down_is_refused(kafka: Kafka) -> None:
    counted: list[str] = []
    trail = Trail(kafka.write, confirm_seconds=0.05, refused=lambda: counted.append("one"))
    with pytest.raises(NotAuditedError) as refused:
        asyncio.run(trail.record(ANA, "revealed", CASE))
    assert refused.value.status == 503
    assert counted == ["one"]
    assert kafka.taken == []


def test_a_list_that_refreshes_itself_is_written_down_once_in_five_minutes() -> None:
    now, kafka = 0.0, Kafka()
    trail = Trail(kafka.write, confirm_seconds=5, clock=lambda: now)
    asyncio.run(trail.listed(ANA, "queue"))
    asyncio.run(trail.listed(ANA, "queue"))
    asyncio.run(trail.listed(ANA, "queue: task stress"))
    now = 301.0
    asyncio.run(trail.listed(ANA, "queue"))
    assert [(each.action, each.detail) for each in kafka.taken] == [
        ("listed", "queue"),
        ("listed", "queue: task stress"),
        ("listed", "queue"),
    ]


def test_a_list_that_was_not_written_down_is_asked_for_again() -> None:
    answers: list[Exception | None] = [RuntimeError(), None]
    taken = []

    async def write(record: AuditRecord) -> None:
        if answer := answers.pop(0):
            raise answer
        taken.append(record)

    trail = Trail(write, confirm_seconds=5)
    with pytest.raises(NotAuditedError):
        asyncio.run(trail.listed(ANA, "queue"))
    asyncio.run(trail.listed(ANA, "queue"))
    assert len(taken) == 1


def test_a_step_is_written_down_with_what_was_decided_and_not_what_was_noted() -> None:
    decision = ReviewDecision("d", CASE.id, "m-1", "stress", "ana", "at_risk", "high", TEXT, CASE.opened_at)
    step = CaseEvent("case-event:1", CASE.id, 2, "decided", "ana", CASE.opened_at, decision=decision)
    given = CaseEvent(
        "case-event:2", CASE.id, 2, "released", "ana", CASE.opened_at, reader="ben", reason="away"
    )
    kafka = Kafka()

    async def write() -> None:
        for each in (step, given, step):
            await stepped(Trail(kafka.write, confirm_seconds=5))(each, CaseState(CASE, 0))

    asyncio.run(write())
    said = [(each.id, each.actor, each.action, each.detail, each.bundle) for each in kafka.taken]
    first = ("audit:case-event:1", "ana", "decided", "at_risk high", "b" * 64)
    assert said == [first, ("audit:case-event:2", "ana", "released", "away to ben", "b" * 64), first]
    assert not any(TEXT.encode() in encode(each) for each in kafka.taken)


AT = datetime(2026, 11, 26, 8, 0, tzinfo=UTC)
RECORD = AuditRecord(
    "audit:1", AT, "=cmd|' /C calc'!A0", ["reviewer"], "decided", CASE.id, detail='at_risk, "high"'
)


def test_an_exported_cell_is_never_a_formula() -> None:
    (row,) = csv.DictReader(io.StringIO("".join(as_csv([Seen(RECORD, "unsigned")]))))
    assert row["actor"] == "'=cmd|' /C calc'!A0"
    assert (row["detail"], row["case_id"], row["signature"]) == ('at_risk, "high"', CASE.id, "unsigned")
    assert row["message_id"] == ""


def test_json_lines_are_the_records_as_they_are() -> None:
    (line,) = as_json_lines([Seen(RECORD, None)])
    fields = msgspec.json.decode(line)
    assert fields.pop("signature") == "valid"
    assert msgspec.convert(fields, AuditRecord) == RECORD


@pytest.mark.parametrize(
    ("asked", "wanted"),
    [
        (Asked(AT), True),
        (Asked(AT.replace(hour=9)), False),
        (Asked(AT.replace(hour=7), AT), False),
        (Asked(AT, case=CASE.id, action="decided"), True),
        (Asked(AT, case="case:messages:0:2"), False),
        (Asked(AT, actor="ana"), False),
        (Asked(AT, action="revealed"), False),
    ],
)
def test_only_what_is_asked_for_is_read(asked: Asked, *, wanted: bool) -> None:
    assert asked.wants(RECORD) is wanted


def test_what_a_terminal_would_obey_is_not_written_down() -> None:
    kafka = Kafka()
    trail = Trail(kafka.write, confirm_seconds=5)
    asyncio.run(trail.record(ANA, "refused", detail="POST /case/{id} \x1b]0;gone\x07"))
    assert (
        kafka.taken[0].detail == "POST /case/{id} \N{REPLACEMENT CHARACTER}]0;gone\N{REPLACEMENT CHARACTER}"
    )
