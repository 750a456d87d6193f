"""What the people at work can take before the deadlines, and what is delayed otherwise. Pure.

Two answers, from what waits, what arrives and how fast people decide:

- The pressure: what must be decided by a moment in order to keep every deadline, against what can be decided
  by then; the worst moment counts. Up to 1, all deadlines can be kept (the processor-demand criterion of
  deadline scheduling, Baruah, Rosier and Howell, Real-Time Systems 2, 1990).
- The forecast: the queue is played on as `take` would work it, with even arrivals and decisions. It says for
  each level how many deadlines will be missed until the horizon, the first one when, and how many hours late
  in sum. Every case counts with a middling doubt there.

Nothing is dropped, whatever the forecast says: what is delayed is only decided later.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from math import ceil
from typing import Final

import msgspec

from review.cases.views import BLIND
from review.queue.flow import Pace
from review.queue.turns import Turn
from review.queue.urgency import QUARTERS, Lane, Law, grown

# The forecast decides in portions, so that a day of a hundred people takes as long as one of one person.
PORTIONS: Final = 2000
CHECKPOINT_HOURS: Final = (1, 2, 4, 8, 12, 24, 48, 72)

Backlogs = Mapping[Lane, Sequence[float]]


class LaneForecast(msgspec.Struct, frozen=True):
    """What becomes of one level until the horizon. Times are in Unix seconds.

    `missed` are those that are decided late, or are late and undecided at the horizon; those that are overdue
    now are among them. `hours_late` is what the people behind them wait beyond their deadlines, in sum.
    `first_miss` is when the first further deadline passes, None where all of them are kept.
    """

    lane: Lane
    severe: bool
    allowance: float
    waiting: int
    overdue: int
    missed: int
    hours_late: float
    first_miss: float | None


class Forecast(msgspec.Struct, frozen=True):
    """What the people at work will have done by the horizon, in Unix seconds. The most severe come first."""

    now: float
    horizon: float
    pace: Pace
    pressure: float
    lanes: list[LaneForecast]

    @property
    def delayed(self) -> list[LaneForecast]:
        """The levels of which deadlines are missed; quality samples and golden items have none to miss."""
        return [lane for lane in self.lanes if lane.missed and lane.lane.kind not in BLIND]

    @property
    def missed(self) -> int:
        """How many deadlines are missed."""
        return sum(lane.missed for lane in self.delayed)

    @property
    def missed_severe(self) -> int:
        """How many of them are of severe cases."""
        return sum(lane.missed for lane in self.delayed if lane.severe)

    @property
    def hours_late(self) -> float:
        """How many hours people wait beyond their deadlines, in sum."""
        return sum(lane.hours_late for lane in self.delayed)


def pressure(backlogs: Backlogs, pace: Pace, law: Law, now: float) -> float:
    """How much must be decided per decision that can be made; infinite where nobody decides what waits."""
    worst = 0.0
    allowances = {law.allowance(lane) / 3600 for lane in (*backlogs, *pace.arrivals)}
    for hours in {*CHECKPOINT_HOURS, *(each for each in allowances if each >= 1)}:
        demand = 0.0
        for lane in {*backlogs, *pace.arrivals} - {lane for lane in backlogs if lane.kind in BLIND}:
            allowance = law.allowance(lane)
            demand += bisect_right(backlogs.get(lane, ()), now + hours * 3600 - allowance)
            demand += pace.arrivals.get(lane, 0.0) * max(hours - allowance / 3600, 0.0)
        if demand:
            worst = max(worst, demand / (pace.rate * hours) if pace.rate else float("inf"))
    return worst


def reviewers_missing(forecast: Forecast) -> int | None:
    """How many more reviewers at the present pace would keep every deadline; None where nobody is at work.

    Deadlines that have passed already are no longer to be kept: their cases must be decided within an hour.
    """
    pace = forecast.pace
    if not pace.rate:
        return None
    return max(ceil(pace.at_work * forecast.pressure) - pace.at_work, 0)


def sample_every(under: float, *, most: float, least: float) -> int:
    """Every how many claims one is a quality sample, at this pressure.

    The share is `most` while all deadlines can be kept, `least` from twice the pressure on, and between them
    in between. It is never 0, so that the miss rate is measured under load as well.
    """
    eased = min(max(2.0 - under, 0.0), 1.0)
    return max(round(1 / (least + (most - least) * eased)), 1)


class _Played:
    """One lane while the queue is played on: what waits now, then what will arrive, oldest first."""

    def __init__(self, lane: Lane, backlog: Sequence[float], per_hour: float, law: Law, now: float) -> None:
        self.lane = lane
        self.allowance = law.allowance(lane)
        self._backlog = backlog
        self._gap = 3600 / per_hour if per_hour else float("inf")
        self._now = now
        self._base = law.weight(lane) * law.doubt(QUARTERS // 2, raised=False)
        self._greatest = law.greatest(lane, raised=False)
        self.severe = law.severe(lane)
        self.served = 0
        self.missed = 0
        self.seconds_late = 0.0
        self.first_miss: float | None = None

    def since(self, place: int) -> float:
        if place < len(self._backlog):
            return self._backlog[place]
        return self._now + (place - len(self._backlog) + 1) * self._gap

    @property
    def head(self) -> float:
        return self.since(self.served)

    @property
    def due(self) -> float:
        return self.head + self.allowance

    def urgency(self, at: float) -> float:
        return grown(at - self.head, self.allowance, self._base, self._greatest)

    def serve(self, most: int, at: float) -> int:
        """Decide up to `most` of its cases at this moment; return how many there were."""
        before = self.served
        while self.served - before < most and self.head <= at:
            self._note(self.due, at)
            self.served += 1
        return self.served - before

    def end(self, horizon: float) -> None:
        """Count what is late and undecided, in one step each: it may be 100,000 cases."""
        latest = horizon - self.allowance
        waiting = self._backlog[self.served : bisect_left(self._backlog, latest)]
        if waiting:
            next_due = bisect_left(waiting, self._now - self.allowance)
            first = waiting[next_due] + self.allowance if next_due < len(waiting) else None
            self._late(len(waiting), latest * len(waiting) - sum(waiting), first)
        served = max(self.served - len(self._backlog), 0)  # of those that arrive
        arriving = ceil((latest - self._now) / self._gap) - 1 - served
        if arriving > 0:
            begin = latest - self._now - served * self._gap
            in_sum = arriving * begin - self._gap * arriving * (arriving + 1) / 2
            self._late(arriving, in_sum, self._now + (served + 1) * self._gap + self.allowance)

    def _late(self, count: int, seconds: float, first: float | None) -> None:
        self.missed += count
        self.seconds_late += seconds
        if first is not None:
            self.first_miss = min(self.first_miss or first, first)

    def _note(self, due: float, at: float) -> None:
        if at > due:
            self._late(1, at - due, due if due >= self._now else None)

    def result(self) -> LaneForecast:
        return LaneForecast(
            lane=self.lane,
            severe=self.severe,
            allowance=self.allowance,
            waiting=len(self._backlog),
            overdue=bisect_right(self._backlog, self._now - self.allowance),
            missed=self.missed,
            hours_late=self.seconds_late / 3600,
            first_miss=self.first_miss,
        )


def forecast(
    backlogs: Backlogs,
    pace: Pace,
    law: Law,
    now: float,
    *,
    hours: float,
    sample_every: int,
    due_every: int,
) -> Forecast:
    """Play the queue on for so many hours. `backlogs` has, oldest first, when each waiting case was sent."""
    horizon = now + hours * 3600
    lanes = [
        _Played(lane, backlogs.get(lane, ()), pace.arrivals.get(lane, 0.0), law, now)
        for lane in {*backlogs, *pace.arrivals}
    ]
    decisions = int(pace.rate * hours)
    portion = max(decisions // PORTIONS, 1)
    for number in range(decisions // portion):
        at = now + (number + 1) * portion * 3600 / pace.rate
        turn = _turn(number, sample_every, due_every)
        left = portion
        while left and (lane := _next(lanes, turn, at)) is not None:
            left -= lane.serve(left, at)
    for lane in lanes:
        lane.end(horizon)
    results = sorted((lane.result() for lane in lanes), key=lambda each: (-each.lane.rank, each.lane.task))
    return Forecast(now, horizon, pace, pressure(backlogs, pace, law, now), results)


def _turn(number: int, sample_every: int, due_every: int) -> Turn:
    if number % sample_every == sample_every - 1:
        return "sample"
    return "due" if (number - number // sample_every) % due_every == due_every - 1 else "urgent"


def _next(lanes: Sequence[_Played], turn: Turn, at: float) -> _Played | None:
    there = [lane for lane in lanes if lane.head <= at]
    blind = [lane for lane in there if lane.lane.kind in BLIND]
    ordinary = [lane for lane in there if lane.lane.kind not in BLIND]
    if blind and (turn == "sample" or not ordinary):
        return min(blind, key=lambda lane: lane.due)
    if turn == "due":
        return min(ordinary, key=lambda lane: lane.due, default=None)
    return max(ordinary, key=lambda lane: lane.urgency(at), default=None)
