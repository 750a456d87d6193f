"""How many severe cases somebody has had lately, and when they should rest. Pure.

Reading about despair wears people down. Whoever has had as many severe cases within an hour as the cap says
is given others by `take`, until the oldest of these is an hour ago. They can still claim a severe case of
their own accord: where nobody else is there, a person in need must not wait for a rule. Breaks are only ever
suggested.
"""

from collections import defaultdict
from collections.abc import Collection
from typing import Final

import msgspec

HOUR: Final = 3600.0
# Whoever takes no step for so long has had a break. Less may be one long case.
BREAK: Final = 15 * 60.0
KEPT: Final = 12 * HOUR


class Load(msgspec.Struct, frozen=True):
    """What somebody has on their shoulders. Times are in Unix seconds, lengths in seconds.

    `spared_until` is when they are given severe cases again; None where they are now. `worked` is how long
    they have gone on without a break, and `break_due` whether that is too long.
    """

    severe: int
    cap: int
    spared_until: float | None
    worked: float
    break_due: bool


class Exposure:
    """The severe cases and the steps of each person. It can be told the same again, in any order."""

    def __init__(self, *, severe_per_hour: int, break_after: float) -> None:
        self._cap = severe_per_hour
        self._break_after = break_after
        self._severe: defaultdict[str, dict[str, float]] = defaultdict(dict)
        self._steps: defaultdict[str, set[float]] = defaultdict(set)

    def claimed_severe(self, person_id: str, case_id: str, at: float) -> None:
        """Somebody claimed a severe case. The same case counts once."""
        cases = self._severe[person_id]
        cases[case_id] = max(at, cases.get(case_id, at))

    def worked(self, person_id: str, at: float) -> None:
        """Somebody took a step on any case."""
        self._steps[person_id].add(at)

    def load(self, person_id: str, now: float, but: Collection[str] = ()) -> Load:
        """What this person has had without the cases `but`. `spared_until` is None below the cap."""
        cases = {case: at for case, at in self._severe[person_id].items() if at > now - HOUR}
        self._severe[person_id] = cases
        times = sorted(at for case, at in cases.items() if case not in but)
        # The cap is free again once all but `cap - 1` of them are an hour ago.
        spared = times[len(times) - self._cap] + HOUR if len(times) >= self._cap else None
        worked = self._uninterrupted(person_id, now)
        return Load(len(times), self._cap, spared, worked, worked >= self._break_after)

    def _uninterrupted(self, person_id: str, now: float) -> float:
        steps = {at for at in self._steps[person_id] if at > now - KEPT}
        self._steps[person_id] = steps
        begin = now
        for at in sorted(steps, reverse=True):
            if at <= now and begin - at > BREAK:
                break
            begin = min(begin, at)
        return now - begin
