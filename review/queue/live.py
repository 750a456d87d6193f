"""The queue of one desk: what the table tells it, and what people ask of it.

Everything here comes from the states of cases, which tell it again after a restart: the order, who took and
skipped what and when, how fast cases come and go. Only the turns begin anew.
"""

import asyncio
import secrets
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable
from datetime import UTC, datetime
from typing import Final

import msgspec

from review.cases.state import CaseState
from review.people import Person
from review.queue.answers import Backlog, Counts, Slice
from review.queue.capacity import Forecast, forecast, sample_every
from review.queue.changes import ChangeLog, Changes
from review.queue.entry import entry_of
from review.queue.exposure import KEPT, Exposure, Load
from review.queue.flow import Flow, Pace
from review.queue.index import QueueIndex
from review.queue.order import Filter
from review.queue.rules import Rules
from review.queue.take import Taking
from review.queue.turns import Turns
from review.queue.urgency import Lane, lane_of
from review.queue.waiting import Waiting

# A forecast of 100,000 cases takes a tenth of a second, and holds for a while. `refresh` makes it before that
# is over.
FORECAST_FOR: Final = 30.0
REFRESH_EVERY: Final = 20.0


class Capacity(msgspec.Struct, frozen=True):
    """Whether people at work can take what waits.

    One claim in `sample_every` is a quality sample now; without a rush, it is one in `usual_every`.
    """

    forecast: Forecast
    sample_every: int
    usual_every: int


class LiveQueue:
    """Told of every state of a case by the table, in any order and as often as it likes."""

    def __init__(self, rules: Rules, clock: Callable[[], datetime]) -> None:
        self.rules = rules
        self._clock = clock
        self._index = QueueIndex(rules.law, first_version=int(clock().timestamp() * 1000))
        self._seed = secrets.token_bytes(16)
        self._turns = Turns(sample_every=rules.usual_every, due_every=rules.due_every, seed=self._seed)
        self._taking = Taking(self._index, self._turns)
        self._flow = Flow(window=rules.capacity_window, stretch=rules.at_work)
        self._exposure = Exposure(severe_per_hour=rules.severe_per_hour, break_after=rules.break_after)
        self._capacity: Capacity | None = None

    def put(self, state: CaseState) -> None:
        """Note a case as it is now."""
        entry = entry_of(state, skip=self.rules.skip, seed=self._seed)
        if state.phase in {"waiting", "claimed"}:
            self._index.put(entry)
        else:
            self._index.drop(entry.id)
        self._note(state, lane_of(entry))

    def drop(self, case_id: str) -> None:
        """Forget a case."""
        self._index.drop(case_id)

    def clear(self) -> None:
        """Forget all cases: the table is about to tell all of them again."""
        self._index.clear()

    # What stands beside people.

    @property
    def log(self) -> ChangeLog:
        """What has changed lately."""
        return self._index.log

    def entries(self) -> Iterable[Waiting]:
        """Every open case, in no order."""
        return self._index.entries()

    def entry(self, case_id: str) -> Waiting | None:
        """One open case."""
        return self._index.get(case_id)

    # What people ask.

    def page(self, wanted: Filter, person: Person, *, offset: int, limit: int, levels: bool) -> Slice:
        """A page of the queue as this person sees it; without `levels`, not how severe cases are."""
        return self._index.page(wanted, self._now, offset=offset, limit=limit, person=person, levels=levels)

    def position(self, case_id: str, wanted: Filter, person: Person) -> int | None:
        """The place of a case in the filtered queue, from 0; None where the filter does not admit it."""
        return self._index.position(case_id, wanted, self._now, person)

    def counts(self, wanted: Filter, person: Person) -> Counts:
        """How many cases the filter admits, and how they divide."""
        return self._index.counts(wanted, self._now, person)

    def changes_since(self, version: int, wanted: Filter, person: Person) -> Changes:
        """What a page that shows this filter since `version` does not show yet."""
        return self._index.changes_since(version, wanted, self._now, person)

    def tasks(self) -> list[str]:
        """The tasks that have open cases."""
        return sorted({cases.key.lane.task for cases in self._index.classes()})

    def take_next(self, person: Person, wanted: Filter) -> str | None:
        """The id of the case that this person should claim now. Call `give_back` where the claim fails."""
        spare = self.load(person).spared_until is not None
        self._turns.sample_every = self.capacity().sample_every
        entry = self._taking.take_next(person, wanted, self._now, spare_severe=spare)
        return None if entry is None else entry.id

    def give_back(self, case_id: str) -> None:
        """The claim of a case that was given out has failed."""
        self._taking.give_back(case_id)

    def load(self, person: Person, *, but: Collection[str] = ()) -> Load:
        """What this person has had lately without the cases `but`, and whether a break is due."""
        return self._exposure.load(person.id, self._now, but)

    def backlog(self) -> list[Backlog]:
        """Every level with its open cases, the most severe first."""
        return self._index.backlog(self._now)

    def capacity(self) -> Capacity:
        """Whether people at work can take what waits. It may be half a minute old."""
        now = self._now
        if self._capacity is None or not 0 <= now - self._capacity.forecast.now < FORECAST_FOR:
            self._capacity = self._forecast(self._index.waiting_since(), self._flow.pace(now), now)
        return self._capacity

    async def refresh(self) -> None:
        """Make the forecast anew, in small steps and beside the loop, so that nobody's page waits for it."""
        now, waiting = self._now, list[tuple[Lane, list[float]]]()
        for part in self._index.waiting_since():
            waiting.append(part)
            await asyncio.sleep(0)
        self._capacity = await asyncio.to_thread(self._forecast, waiting, self._flow.pace(now), now)

    @property
    def _now(self) -> float:
        return self._clock().timestamp()

    def _forecast(self, waiting: Iterable[tuple[Lane, list[float]]], pace: Pace, now: float) -> Capacity:
        rules = self.rules
        backlogs: defaultdict[Lane, list[float]] = defaultdict(list)
        for lane, since in waiting:
            backlogs[lane].extend(since)
        made = forecast(
            {lane: sorted(since) for lane, since in backlogs.items()},
            pace,
            rules.law,
            now,
            hours=rules.forecast / 3600,
            sample_every=self._turns.sample_every,
            due_every=rules.due_every,
        )
        every = sample_every(made.pressure, most=rules.quality_share, least=rules.quality_share_least)
        return Capacity(made, every, rules.usual_every)

    def _note(self, state: CaseState, lane: Lane) -> None:
        """Note who did what when, unless it is too long ago to matter."""
        oldest = datetime.fromtimestamp(self._now - KEPT, UTC)
        if state.case.opened_at > oldest:
            self._flow.arrived(state.case.id, lane, state.case.opened_at.timestamp())
        for judged in reversed(state.judgements):
            if judged.decided_at > oldest:
                self._flow.decided(judged.decision_id, judged.reader, judged.decided_at.timestamp())
        severe = self.rules.law.severe(lane)
        for step in reversed(state.history):
            if step.at <= oldest:
                break
            if step.action in {"claimed", "extended", "released", "decided", "undone"}:
                at = step.at.timestamp()
                self._flow.worked(step.actor, at)
                self._exposure.worked(step.actor, at)
                if severe and step.action == "claimed":
                    self._exposure.claimed_severe(step.actor, state.case.id, at)
