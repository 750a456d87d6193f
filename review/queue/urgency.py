"""How urgent a case is: severity, uncertainty, and its age against what its level allows. Pure.

    urgency = weight(level) x doubt x (1 + age / allowance)

    weight     1 for the least severe level, `severity_ratio` for the most severe, in equal ratios between
    doubt      1 where the model is sure, up to 1 + `uncertainty_weight` where it is not; and times
               `raised_weight` for an author or conversation that was found at risk again and again
    age        since the message was sent
    allowance  the time within which a person should decide: `deadlines` by name, or else by the level's place

A case past its deadline has the greatest doubt there is, and again `raised_weight` times as much where it is
raised. So it comes before every case of its level that is not, and the overdue cases of a level that are
equally raised come in the order in which they were sent.

This is an accumulating priority queue with a head start: each case gains priority with the time it has
waited, at a rate of its class (Kleinrock, A delay dependent queue discipline, Naval Research Logistics
Quarterly 11, 1964; Stanford, Taylor and Ziedins, Waiting time distributions in the accumulating priority
queue, Queueing Systems 77, 2014, where it stands for the triage of emergency departments, which has a time
limit per level as here). What it keeps:

- The older of two cases that are equal otherwise is never less urgent.
- No case becomes less urgent by waiting.
- In overload, all levels wait longer, in proportion to what they are allowed and weigh. `turns` keeps a share
  of all claims for the earliest deadline, so nothing starves, even if severe cases alone are too many.

Inside one class (lane, quarter of uncertainty, raised or not), the order is that of the time sent, at every
moment. `index` relies on that.
"""

from typing import Final, NamedTuple

import msgspec

from review.cases.views import BLIND
from review.queue.waiting import Waiting
from schemas.vocabulary import CaseKind

QUARTERS: Final = 4


class Lane(NamedTuple):
    """What cases have in common that are allowed the same time, and weigh the same."""

    task: str
    kind: CaseKind
    level: str | None
    rank: float

    @property
    def name(self) -> str:
        """What people call it: the level, or the kind where there is none."""
        return self.level or self.kind


def lane_of(entry: Waiting) -> Lane:
    """The lane that a case waits in."""
    return Lane(entry.task, entry.kind, entry.level, entry.rank)


def shown_lane_of(entry: Waiting) -> Lane:
    """The lane that gives a case its place in lists: of a blind one, that of some escalation."""
    if entry.stands_as is None:
        return lane_of(entry)
    return Lane(entry.task, "escalation", *entry.stands_as)


def quarters(uncertainty: float) -> int:
    """The uncertainty in whole quarters: 0 to 4."""
    return round(min(max(uncertainty, 0.0), 1.0) * QUARTERS)


class Law(msgspec.Struct, frozen=True):
    """The numbers of the formula. Times are in seconds.

    `deadlines` are allowances by name: `task/level`, or a level or kind of any task. A level that is not
    named gets an allowance between `least_severe` and `most_severe`, in equal ratios. `severe_from` is the
    rank from which a level counts as severe.
    """

    most_severe: float = 30 * 60.0
    least_severe: float = 24 * 3600.0
    quality_sample: float = 72 * 3600.0
    deadlines: dict[str, float] = {}
    severity_ratio: float = 64.0
    uncertainty_weight: float = 1.0
    raised_weight: float = 2.0
    severe_from: float = 0.6

    def allowance(self, lane: Lane) -> float:
        """The time from being sent to the deadline, in seconds."""
        for name in (f"{lane.task}/{lane.name}", lane.name):
            if name in self.deadlines:
                return self.deadlines[name]
        if lane.kind in BLIND:
            return self.quality_sample
        return float(self.least_severe * (self.most_severe / self.least_severe) ** lane.rank)

    def weight(self, lane: Lane) -> float:
        """The weight of the lane's level, from 1 to `severity_ratio`."""
        return float(self.severity_ratio**lane.rank)

    def severe(self, lane: Lane) -> bool:
        """Whether the lane holds cases that wear down whoever reads many of them."""
        return lane.level is not None and lane.rank >= self.severe_from

    def doubt(self, quarter: int, *, raised: bool) -> float:
        """The factor of a case before its deadline."""
        return (1 + self.uncertainty_weight * quarter / QUARTERS) * (self.raised_weight if raised else 1.0)

    def due(self, entry: Waiting) -> float:
        """The moment of the deadline, in Unix seconds."""
        return entry.since + self.allowance(lane_of(entry))

    def overdue(self, entry: Waiting, now: float) -> bool:
        """Whether the deadline has passed."""
        return now - entry.since >= self.allowance(lane_of(entry))

    def urgency(self, entry: Waiting, now: float) -> float:
        """How urgent a case is now, as lists show it. Only the order of urgencies means something."""
        lane = shown_lane_of(entry)
        doubt = self.doubt(quarters(entry.uncertainty), raised=entry.raised)
        base, greatest = self.weight(lane) * doubt, self.greatest(lane, raised=entry.raised)
        return grown(now - entry.since, self.allowance(lane), base, greatest)

    def greatest(self, lane: Lane, *, raised: bool) -> float:
        """Weight times doubt of an overdue case."""
        most = self.weight(lane) * self.doubt(QUARTERS, raised=True)
        return most * self.raised_weight if raised else most


def grown(age: float, allowance: float, base: float, greatest: float) -> float:
    """An urgency: `base` before the deadline, `greatest` after it, grown by the share of time used.

    Every step is monotone in floating point too, so equal classes never change their order by rounding.
    """
    age = max(age, 0.0)
    return (greatest if age >= allowance else base) * (1.0 + age / allowance)
