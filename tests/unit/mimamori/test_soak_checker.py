"""The checker over constructed logs: silent on every sound one, and on every other names what is wrong."""

import random
from collections.abc import Callable
from datetime import UTC, datetime

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

import schemas
from mimamori.soak.checker import Checker, Findings
from mimamori.soak.script import UNREAD, Script, message_id
from schemas.events import DeadLetter, Label, Origin, ReviewCase, Thresholds

TOPIC = "soak.messages"
NOW = datetime(2026, 1, 1, tzinfo=UTC)
OUT = 3  # partitions of the outcomes' topics

Event = Label | DeadLetter | ReviewCase
Log = list[tuple[Event, int]]  # in the order they are read; with the partition they are read from


def label(
    partition: int, sequence: int, verdict: str = "clear", *, risk: float = 0.25, truncated: bool = False
) -> Label:
    origin = Origin(TOPIC, partition, sequence)
    return Label(
        id=schemas.label_id(origin),
        message_id=message_id(partition, sequence),
        origin=origin,
        task="stress",
        verdict=verdict,  # type: ignore[arg-type] # a word of the contract
        risk=risk,
        severity=None,
        reasons=["below_lower_threshold"],
        thresholds=Thresholds(0.3, 0.7, "test"),
        reading="pooled",
        bundle="b",
        windows=1,
        truncated=truncated,
        cached=False,
        screened_at=NOW,
    )


def case_of(one: Label) -> ReviewCase:
    return ReviewCase(
        id=schemas.case_id(one.origin),
        label_id=one.id,
        message_id=one.message_id,
        origin=one.origin,
        task=one.task,
        kind="escalation",
        verdict=one.verdict,
        risk=one.risk,
        severity=one.severity,
        priority=50,
        reasons=one.reasons,
        bundle=one.bundle,
        conversation_id=None,
        text=None,
        opened_at=NOW,
    )


def unread_case_of(letter: DeadLetter) -> ReviewCase:
    return msgspec.structs.replace(
        case_of(label(letter.origin.partition, letter.origin.offset)),
        label_id=None,
        message_id="not known",
        kind="unread",
        verdict=None,
        risk=None,
        bundle=None,
        reasons=[],
        dead_letter_id=letter.id,
        unread_because=letter.reason,
    )


def dead_letter(partition: int, sequence: int, reason: str) -> DeadLetter:
    origin = Origin(TOPIC, partition, sequence)
    return DeadLetter(schemas.dead_letter_id(origin), origin, reason, "detail", None, None, NOW)  # type: ignore[arg-type] # a code of the contract


def sound_log(script: Script) -> Log:
    """What a worker that does everything right would write: every third label with a case."""
    log: Log = []
    for partition, length in enumerate(script.lengths):
        for sequence in range(length):
            out = sequence % OUT
            if reason := script.reason(partition, sequence):
                letter = dead_letter(partition, sequence, reason)
                log.append((letter, out))
                if reason in UNREAD:
                    log.append((unread_case_of(letter), out))
            elif sequence % 3 and not script.is_truncated(partition, sequence):
                log.append((label(partition, sequence), out))
            else:
                truncated = script.is_truncated(partition, sequence)
                escalated = label(partition, sequence, "at_risk", risk=0.9, truncated=truncated)
                log += [(escalated, out), (case_of(escalated), out)]
    return log


def check(script: Script, log: Log) -> Findings:
    checker = Checker(script, TOPIC)
    for event, partition in log:
        checker.take(type(event), partition, schemas.encode(event))
    checker.committed(dict(enumerate(script.lengths)))
    return checker.findings()


def troubles(findings: Findings) -> dict[str, int]:
    return {name: count for name, count in findings.counts.items() if count}


def find(log: Log, kind: type[Event], wanted: Callable[[Event], bool] = lambda _: True) -> int:
    return next(place for place, (event, _) in enumerate(log) if isinstance(event, kind) and wanted(event))


SCRIPT = Script(seed=3, records=1_200, partitions=2)


@given(st.integers(0, 1_000), st.integers(1, 300), st.integers(1, 5), st.randoms(use_true_random=False))
def test_nothing_is_found_in_a_sound_log_read_in_any_interleaving(
    seed: int, records: int, partitions: int, draw: random.Random
) -> None:
    script = Script(seed, records, partitions)
    queues: dict[tuple[type, int, int], Log] = {}
    for event, out in sound_log(script):
        queues.setdefault((type(event), out, event.origin.partition), []).append((event, out))
    log: Log = []
    while queues:
        place = draw.choice(list(queues))
        log.append(queues[place].pop(0))
        queues = {name: queue for name, queue in queues.items() if queue}
    findings = check(script, log)
    assert findings.sound, troubles(findings)
    assert findings.seen == records


@given(st.data())
def test_a_missing_record_is_lost_or_a_mismatch(data: st.DataObject) -> None:
    log = sound_log(SCRIPT)
    event, _ = log.pop(data.draw(st.integers(0, len(log) - 1)))
    found = troubles(check(SCRIPT, log))
    name = message_id(event.origin.partition, event.origin.offset)
    if isinstance(event, ReviewCase):
        assert found == {"mismatched_cases": 1}
    else:
        assert found["lost"] == 1
        assert check(SCRIPT, log).first_ids["lost"] == [name]


@given(st.data())
def test_a_repeated_record_is_found(data: st.DataObject) -> None:
    log = sound_log(SCRIPT)
    one = log[data.draw(st.integers(0, len(log) - 1))]
    log.append(one)
    found = troubles(check(SCRIPT, log))
    assert found.get("mismatched_cases" if isinstance(one[0], ReviewCase) else "twice") == 1


@given(st.data())
def test_two_labels_that_change_places_are_out_of_order(data: st.DataObject) -> None:
    log = sound_log(SCRIPT)
    first = data.draw(st.integers(0, len(log) - 1).filter(lambda at: isinstance(log[at][0], Label)))
    rest = [
        at
        for at, (event, out) in enumerate(log)
        if isinstance(event, Label)
        and (out, event.origin.partition) == (log[first][1], log[first][0].origin.partition)
        and at != first
    ]
    second = data.draw(st.sampled_from(rest))
    log[first], log[second] = log[second], log[first]
    assert set(troubles(check(SCRIPT, log))) == {"out_of_order"}


def test_a_label_and_a_dead_letter_for_one_message_is_twice() -> None:
    log = sound_log(SCRIPT)
    letter = log[find(log, DeadLetter)][0]
    log.append((label(letter.origin.partition, letter.origin.offset), 0))
    assert troubles(check(SCRIPT, log)) == {"twice": 1, "wrong_outcomes": 1, "out_of_order": 1}


@pytest.mark.parametrize(
    ("kind", "change", "trouble"),
    [
        (DeadLetter, {"reason": "no_such"}, "strangers"),  # breaks the schema: nothing can be said of it
        (Label, {"message_id": "0-999"}, "wrong_outcomes"),
        (Label, {"origin": Origin("another", 0, 1)}, "strangers"),
        (Label, {"origin": Origin(TOPIC, 7, 1)}, "strangers"),
        (Label, {"origin": Origin(TOPIC, 0, 600)}, "strangers"),
        (ReviewCase, {"risk": 0.91}, "mismatched_cases"),
        (ReviewCase, {"verdict": "uncertain"}, "mismatched_cases"),
        (ReviewCase, {"label_id": "label:x"}, "mismatched_cases"),
        (ReviewCase, {"bundle": "another"}, "mismatched_cases"),
    ],
)
def test_a_record_that_says_something_else_is_found(
    kind: type[Event], change: dict[str, object], trouble: str
) -> None:
    log = sound_log(SCRIPT)
    place = find(log, kind)
    event, out = log[place]
    log[place] = msgspec.structs.replace(event, **change), out
    assert trouble in troubles(check(SCRIPT, log))


def test_a_well_formed_message_in_the_dead_letters_is_a_wrong_outcome() -> None:
    log = sound_log(SCRIPT)
    place = find(log, Label, lambda event: isinstance(event, Label) and event.verdict == "clear")
    origin = log[place][0].origin
    log[place] = dead_letter(origin.partition, origin.offset, "invalid_json"), log[place][1]
    assert "wrong_outcomes" in troubles(check(SCRIPT, log))


def test_a_wrong_reason_is_a_wrong_outcome() -> None:
    log = sound_log(SCRIPT)
    place = find(
        log, DeadLetter, lambda event: isinstance(event, DeadLetter) and event.reason == "empty_text"
    )
    log[place] = msgspec.structs.replace(log[place][0], reason="null_value"), log[place][1]
    assert troubles(check(SCRIPT, log)) == {"wrong_outcomes": 1}


def test_a_dead_letter_without_the_case_it_asks_for_is_a_mismatch() -> None:
    log = sound_log(SCRIPT)
    del log[find(log, ReviewCase, lambda event: isinstance(event, ReviewCase) and event.kind == "unread")]
    assert troubles(check(SCRIPT, log)) == {"mismatched_cases": 1}


def test_a_long_text_whose_label_does_not_say_truncated_is_a_wrong_outcome() -> None:
    script = Script(seed=3, records=6_000, partitions=2)
    log = sound_log(script)
    place = find(log, Label, lambda event: isinstance(event, Label) and event.truncated)
    log[place] = msgspec.structs.replace(log[place][0], truncated=False), log[place][1]
    assert troubles(check(script, log)) == {"wrong_outcomes": 1}


def test_a_case_that_no_label_asked_for_is_a_mismatch() -> None:
    log = sound_log(SCRIPT)
    clear = log[find(log, Label, lambda event: isinstance(event, Label) and event.verdict == "clear")][0]
    assert isinstance(clear, Label)
    log.append((case_of(clear), 0))
    assert troubles(check(SCRIPT, log)) == {"mismatched_cases": 1}


def test_what_cannot_be_read_is_a_stranger() -> None:
    checker = Checker(SCRIPT, TOPIC)
    checker.take(Label, 0, None)
    checker.take(ReviewCase, 0, b"{")
    assert checker.findings().counts["strangers"] == 2


def test_an_offset_that_is_not_committed_is_found() -> None:
    checker = Checker(SCRIPT, TOPIC)
    checker.committed({0: 600, 1: 599})
    assert checker.findings().counts["uncommitted"] == 1


def test_what_is_finished_ends_at_the_first_gap() -> None:
    checker = Checker(SCRIPT, TOPIC)
    for sequence in (0, 1, 3):
        event = label(0, sequence)
        checker.take(Label, 0, schemas.encode(event))
    assert checker.finished() == [2, 0]
    assert checker.seen_of == [3, 0]


def test_many_ids_are_counted_and_few_are_shown() -> None:
    findings = Checker(SCRIPT, TOPIC).findings()
    assert findings.counts["lost"] == 1_200
    assert findings.first_ids["lost"][:2] == ["0-0", "0-1"]
    assert len(findings.first_ids["lost"]) <= 20
