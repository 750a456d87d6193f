"""Why somebody may put a case back without judging it, and how long it then stays away from them. Pure."""

from collections.abc import Mapping
from typing import Final, NamedTuple


class SkipReason(NamedTuple):
    """What a reason means. `for_good`: waiting would not change it, so the case never comes back to them."""

    meaning: str
    for_good: bool


SKIP_REASONS: Final[Mapping[str, SkipReason]] = {
    "too_close": SkipReason("It is too close to me", for_good=True),
    "know_the_person": SkipReason("I know the person who wrote it", for_good=True),
    "language": SkipReason("I do not read this language well enough", for_good=True),
    "needs_context": SkipReason("I would need to know more", for_good=False),
    "not_now": SkipReason("Not now: I need a pause, or have to go", for_good=False),
}


def away_until(reason: str | None, at: float, *, seconds: float) -> float:
    """Until when a case that was put back at `at` stays away from whoever did it, in Unix seconds."""
    known = SKIP_REASONS.get(reason or "")
    return float("inf") if known and known.for_good else at + seconds
