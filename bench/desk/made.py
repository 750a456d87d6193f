"""Makes the cases of the benchmark: open ones and settled ones, the same for the same seed."""

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from review.cases.remains import Decided, Summary
from review.cases.state import Judgement
from schemas.events import Origin, ReviewCase, Severity

LEVELS = {
    "stress": ["low", "moderate", "high"],
    "suicide-risk": ["supportive", "indicator", "ideation", "behaviour", "attempt"],
}
TEXT = "I lie awake and go over the same three sentences that I should have said at the meeting. "
PARTITIONS = 2
# Offsets of settled cases, beyond those of the open ones.
SETTLED_FROM = 10**9
DAY_S = 86_400


def cases(count: int, seed: int, first: int = 0) -> Iterator[ReviewCase]:
    """Cases of two tasks, up to two days old, with some samples, in conversations of about three."""
    draw, now = random.Random(seed), datetime.now(UTC)
    for number in range(first, first + count):
        task = draw.choice([*LEVELS])
        levels = LEVELS[task]
        scores = [draw.random() ** 3 for _ in levels]
        shares = {name: score / sum(scores) for name, score in zip(levels, scores, strict=True)}
        sent = now - timedelta(seconds=draw.uniform(0, 2 * DAY_S))
        sample = draw.random() < 0.05
        yield ReviewCase(
            id=f"case:messages:{number % PARTITIONS}:{number}",
            label_id=f"label:messages:{number % PARTITIONS}:{number}",
            message_id=f"m-{number}",
            origin=Origin("messages", number % PARTITIONS, number),
            task=task,
            kind="quality_sample" if sample else "escalation",
            verdict="clear" if sample else "at_risk",
            risk=draw.random(),
            severity=None if sample else Severity(max(shares, key=shares.__getitem__), shares),
            priority=draw.uniform(0, 100),
            reasons=[],
            bundle="0" * 64,
            conversation_id=f"conversation-{draw.randrange(count // 3 + 1)}",
            text=TEXT * draw.randint(1, 4),
            opened_at=sent + timedelta(seconds=2),
            levels=levels,
            sent_at=sent,
        )


def settled(count: int, seed: int) -> Iterator[Decided]:
    """What remains of cases that were settled within the last 30 days; every tenth was read by two people."""
    draw, now = random.Random(seed), datetime.now(UTC)
    for number in range(count):
        task = draw.choice([*LEVELS])
        sample = draw.random() < 0.05
        decided = now - timedelta(seconds=draw.uniform(0, 30 * DAY_S))
        partition, offset = number % PARTITIONS, SETTLED_FROM + number
        readers = draw.sample(["ana", "ben", "chie"], 2 if draw.random() < 0.1 else 1)
        judged = [
            Judgement(
                f"decision-{number}-{reader}",
                reader,
                draw.choice(["at_risk", "not_at_risk"]),
                None,
                decided,
                published=True,
            )
            for reader in readers
        ]
        yield Decided(
            judged[-1].decision_id,
            f"case:messages:{partition}:{offset}",
            readers[-1],
            judged[-1].finding,
            None,
            decided,
            partition,
            summary=Summary(
                task,
                "quality_sample" if sample else "escalation",
                decided - timedelta(seconds=draw.uniform(60, 6 * 3600)),
                None if sample else draw.choice(LEVELS[task]),
                not sample,
                judged,
            ),
        )
