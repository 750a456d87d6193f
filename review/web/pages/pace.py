"""Watches over those who read: how long they work without a break, and how many severe cases an hour.

It is kept in memory alone. A desk that restarts forgets it, which costs a reminder, and nobody's hours are
recorded anywhere. Nothing here forbids anything: somebody may be waiting in danger, and a reviewer decides.
"""

from collections import defaultdict, deque
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final

import msgspec

A_BREAK: Final = timedelta(minutes=10)
AN_HOUR: Final = timedelta(hours=1)


class Strain(msgspec.Struct, frozen=True):
    """How it stands with one reviewer now."""

    minutes: int
    break_is_due: bool
    severe: int
    severe_is_enough: bool


class Pace:
    """The pace of everybody at this desk.

    Args:
        break_after_minutes: Work without a pause of ten minutes after which a break is due; 0 never reminds.
        severe_per_hour: Severe cases in one hour after which quieter ones are offered; 0 sets no cap.
        now: The clock.
    """

    def __init__(
        self,
        *,
        break_after_minutes: float,
        severe_per_hour: int,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._break_after = timedelta(minutes=break_after_minutes)
        self._severe_per_hour = severe_per_hour
        self._now = now
        self._since: dict[str, tuple[datetime, datetime]] = {}  # person -> working since, last seen
        self._severe: defaultdict[str, deque[datetime]] = defaultdict(deque)

    def seen(self, person_id: str) -> None:
        """Note that somebody acts. A page that refreshes itself is no act."""
        now = self._now()
        since, last = self._since.get(person_id, (now, now))
        self._since[person_id] = (now if now - last >= A_BREAK else since, now)

    def decided_severe(self, person_id: str) -> None:
        """Note that somebody has read a case, and found it severe."""
        self._severe[person_id].append(self._now())

    def taken_back(self, person_id: str) -> None:
        """Note that the last of these was undone."""
        if self._severe[person_id]:
            self._severe[person_id].pop()

    def strain(self, person_id: str) -> Strain:
        """How it stands with somebody."""
        now = self._now()
        severe = self._severe[person_id]
        while severe and now - severe[0] >= AN_HOUR:
            severe.popleft()
        since, last = self._since.get(person_id, (now, now))
        worked = timedelta(0) if now - last >= A_BREAK else now - since
        return Strain(
            minutes=int(worked.total_seconds() // 60),
            break_is_due=timedelta(0) < self._break_after <= worked,
            severe=len(severe),
            severe_is_enough=0 < self._severe_per_hour <= len(severe),
        )
