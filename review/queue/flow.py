"""What has come in and gone out lately: arrivals, decisions, and who is at work. Pure.

All of it can be noted again, in any order, for example after a restart: each arrival and decision has an id,
and what people do counts by the stretch of time that they do it in.
"""

from collections import Counter
from collections.abc import Mapping

import msgspec

from review.queue.urgency import Lane


class Pace(msgspec.Struct, frozen=True):
    """How fast cases come and go, measured over `window` seconds.

    `arrivals` are cases per hour by lane. `each` is how many decisions an hour a reviewer makes while at
    work, None where nobody has made one. `at_work` is how many reviewers are at work now.
    """

    window: float
    arrivals: Mapping[Lane, float]
    decisions: int
    each: float | None
    at_work: int

    @property
    def rate(self) -> float:
        """Decisions per hour, if those at work now go on as they did."""
        return (self.each or 0.0) * self.at_work


class Flow:
    """The events of the latest `window` seconds. Who did anything within `stretch` seconds is at work."""

    def __init__(self, *, window: float, stretch: float) -> None:
        self._window = window
        self._stretch = stretch
        self._arrivals: dict[str, tuple[float, Lane]] = {}
        self._decisions: dict[str, float] = {}
        self._work: dict[tuple[str, int], float] = {}

    def arrived(self, case_id: str, lane: Lane, at: float) -> None:
        """A case was opened."""
        self._arrivals[case_id] = (at, lane)

    def decided(self, decision_id: str, person_id: str, at: float) -> None:
        """Somebody judged a case."""
        self._decisions[decision_id] = at
        self.worked(person_id, at)

    def worked(self, person_id: str, at: float) -> None:
        """Somebody took any step on a case."""
        stretch = (person_id, int(at // self._stretch))
        self._work[stretch] = max(at, self._work.get(stretch, at))

    def at_work(self, now: float) -> set[str]:
        """Those who have done anything lately."""
        return {person for (person, _), at in self._work.items() if now - self._stretch < at <= now}

    def pace(self, now: float) -> Pace:
        """How fast cases come and go."""
        begin = now - self._window
        self._arrivals = {key: seen for key, seen in self._arrivals.items() if seen[0] > begin}
        self._decisions = {key: at for key, at in self._decisions.items() if at > begin}
        self._work = {key: at for key, at in self._work.items() if at > begin}
        arrivals = Counter(lane for _, lane in self._arrivals.values())
        hours = len(self._work) * self._stretch / 3600
        return Pace(
            window=self._window,
            arrivals={lane: count * 3600 / self._window for lane, count in arrivals.items()},
            decisions=len(self._decisions),
            each=len(self._decisions) / hours if self._decisions else None,
            at_work=len(self.at_work(now)),
        )
