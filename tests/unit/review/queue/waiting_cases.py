"""Cases and people for the tests of the queue."""

from typing import Any

from hypothesis import strategies as st

from review.people import Person
from review.queue.waiting import Reserved, Skip, Waiting

NOW = 1_780_000_000.0
ANA = Person("ana", "Ana", frozenset({"reviewer"}))
BEN = Person("ben", "Ben", frozenset({"reviewer"}))
LEA = Person("lea", "Lea", frozenset({"lead"}))
AUDITOR = Person("ada", "Ada", frozenset({"auditor"}))
LEVELS = {"low": 0.0, "moderate": 0.5, "high": 1.0}
HOUR = 3600.0


def made(number: int = 0, **fields: Any) -> Waiting:
    """An open case that was sent an hour ago. Its rank is that of its level."""
    level = fields.get("level", "moderate")
    if fields.get("kind") in {"quality_sample", "golden"}:
        fields["level"] = level = None
        fields.setdefault("stands_as", [*LEVELS.items()][number % len(LEVELS)])
    fields.setdefault("rank", LEVELS.get(level, 0.0))
    fields.setdefault("since", NOW - HOUR)
    usual = {"task": "stress", "kind": "escalation", "level": level, "uncertainty": 0.5, "priority": 50.0}
    return Waiting(**{"id": f"case:messages:0:{number}", **usual, **fields})


# Ages around every deadline, with many ties: zero, a moment, exact deadlines, days.
AGES = st.sampled_from(
    [0.0, 1.0, 1799.0, 1800.0, 1801.0, 12_470.5, 86_399.0, 86_400.0, 90_000.0, 3e5]
) | st.floats(-100.0, 1e6)
PEOPLE = st.sampled_from(["ana", "ben", "lea"])


@st.composite
def cases(draw: st.DrawFn, number: int = 0) -> Waiting:
    """Any open case."""
    kind = draw(st.sampled_from(["escalation"] * 4 + ["quality_sample", "golden", "unread"]))
    level = draw(st.sampled_from([*LEVELS])) if kind == "escalation" else None
    return made(
        number,
        kind=kind,
        level=level,
        task=draw(st.sampled_from(["stress", "suicide-risk"])),
        rank=LEVELS[level] if level else draw(st.sampled_from([0.0, 0.2, 1.0])),
        uncertainty=draw(st.sampled_from([0.0, 0.3, 1.0])),
        since=NOW - draw(AGES),
        priority=draw(st.sampled_from([0.0, 50.0, 99.5])),
        conversation=draw(st.sampled_from([None, "c1", "c2"])),
        script=draw(st.sampled_from([None, "Latn", "Hani", "Jpan"])),
        raised=draw(st.booleans()),
        stage=draw(st.sampled_from(["first", "first", "second", "lead"])),
        readers=tuple(draw(st.lists(PEOPLE, max_size=1))),
        holder=draw(st.none() | st.none() | PEOPLE),
        reserved=draw(st.none() | st.builds(Reserved, PEOPLE, st.sampled_from([NOW - 1, NOW + 60]))),
        skips=tuple(
            draw(st.lists(st.builds(Skip, PEOPLE, st.sampled_from([NOW - 1, NOW + 60])), max_size=1))
        ),
    )


@st.composite
def queues(draw: st.DrawFn, most: int = 14) -> list[Waiting]:
    """Some open cases with different ids."""
    return [draw(cases(number)) for number in range(draw(st.integers(0, most)))]
