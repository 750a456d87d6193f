"""Makes the queue's entry of a case: what orders it, and who may take it. No text. Pure."""

import hashlib
from typing import Final

from review.cases.form import severity_levels
from review.cases.script import script_of
from review.cases.state import CaseState
from review.cases.views import BLIND
from review.queue.skips import away_until
from review.queue.waiting import Reserved, Skip, Waiting
from schemas.events import ReviewCase

# The model's numbers say little where it has not read the whole text as it was meant.
DOUBTS: Final = frozenset({"truncated", "unsupported_language", "unscorable", "obfuscated"})
# A clock that is wrong must not carry a case past everybody else's: no message counts as older than this when
# its case opens.
OLDEST_AT_OPENING: Final = 7 * 86_400.0


def entry_of(state: CaseState, *, skip: float, seed: bytes = b"") -> Waiting:
    """What the queue needs to know of a case. A case that was skipped stays away for `skip` seconds.

    A quality sample or golden item that stood last in lists, or in none, would be known by that. So it stands
    where an escalation of its task would, of a level and doubt that are drawn by its id and `seed`. Whoever
    does not know the seed cannot draw along.

    Clocks disagree: a message that was sent after its case opened counts as sent at that moment, and one that
    was sent more than a week before as sent a week before. A case that was reopened or appealed has its
    deadline from then on.
    """
    case = state.case
    level, rank = _level(case)
    stands_as, doubt = _drawn(case, seed) if case.kind in BLIND else (None, _uncertainty(case))
    return Waiting(
        id=case.id,
        task=case.task,
        kind=case.kind,
        level=level,
        rank=rank,
        uncertainty=doubt,
        since=_since(state),
        priority=case.priority,
        conversation=case.conversation_id,
        raised=bool(state.raised),
        stage=state.stage,
        readers=tuple(sorted(state.readers)),
        holder=state.lease.holder if state.phase == "claimed" and state.lease else None,
        reserved=_reserved(state),
        skips=_skips(state, skip),
        stands_as=stands_as,
        script=state.script or script_of(case.text),  # cases of earlier desks have none
    )


def _since(state: CaseState) -> float:
    for step in reversed(state.history):
        if step.action in {"reopened", "appealed"}:
            return step.at.timestamp()
    opened = state.case.opened_at.timestamp()
    sent = opened if state.case.sent_at is None else state.case.sent_at.timestamp()
    return min(max(sent, opened - OLDEST_AT_OPENING), opened)


def _level(case: ReviewCase) -> tuple[str | None, float]:
    if case.kind in BLIND:
        return None, 0.0
    levels = severity_levels(case)
    if case.severity is None or case.severity.level not in levels:
        return None, round(case.priority / 100, 1)  # tenths: each rank is a list of its own in the index
    level = case.severity.level
    return level, levels.index(level) / max(len(levels) - 1, 1)


def _drawn(case: ReviewCase, seed: bytes) -> tuple[tuple[str | None, float], float]:
    """A level with its rank, and a doubt, as an escalation of this task might have them."""
    draws = hashlib.blake2b(case.id.encode(), key=seed, digest_size=2).digest()
    levels, doubt = severity_levels(case), (draws[1] % 5) / 4
    if not levels:
        return (None, _TENTHS[draws[0] % len(_TENTHS)]), doubt
    place = draws[0] % len(levels)
    return (levels[place], place / max(len(levels) - 1, 1)), doubt


# Where a task has no levels, escalations are in the upper half.
_TENTHS: Final = (0.5, 0.6, 0.7, 0.8, 0.9)


def _uncertainty(case: ReviewCase) -> float:
    """How unsure the model is: of the level (1 - its probability), or of there being a risk (1 at a half)."""
    if case.risk is None or case.severity is None or not DOUBTS.isdisjoint(case.reasons):
        return 1.0
    of_level = 1.0 - case.severity.scores.get(case.severity.level, 0.0)
    of_risk = 1.0 - abs(2.0 * case.risk - 1.0)
    return max(of_level, of_risk)


def _reserved(state: CaseState) -> Reserved | None:
    if state.phase != "waiting" or state.reader is None:
        return None
    until = float("inf") if state.reader_until is None else state.reader_until.timestamp()
    return Reserved(state.reader, until)


def _skips(state: CaseState, seconds: float) -> tuple[Skip, ...]:
    """Who put the case back, each until when; what came before it was reopened counts no more."""
    latest = {
        step.actor: away_until(step.reason, step.at.timestamp(), seconds=seconds)
        for step in state.history
        if step.action == "released" and step.reader is None and step.actor in state.skipped
    }
    return tuple(Skip(person, until) for person, until in sorted(latest.items()))
