"""The report that `evaluate` makes: everything that its page shows, and its JSON."""

import datetime as dt
from typing import Final, NamedTuple

import msgspec

from export.evaluating.figures import Flagging
from export.evaluating.intervals import Interval
from export.evaluating.reliability import Reliability
from export.evaluating.severity import SeverityReport
from export.evaluating.shots import Shots
from export.evaluating.slices import Slice
from export.evaluating.workload import Cost, Point, Workload
from export.evaluating.worst import WorstError
from schemas.events import Thresholds

VERSION: Final = 2  # of the report's JSON: it rises when a field changes its meaning or goes


class Asked(NamedTuple):
    """What the report is to say besides. `prevalence` is the stream's share of messages at risk.

    `cost_per_hour` is what a machine like this one costs, `seed` that of the bootstrap.
    """

    prevalence: float | None = None
    cost_per_hour: float | None = None
    show_text: bool = False
    seed: int = 1


class Report(msgspec.Struct, frozen=True):
    """The figures that `evaluate` measured. A figure is None where the examples it needs are absent.

    `confusion` [not at risk, at risk][clear, uncertain, at_risk] counts messages. `miss_rate` is the share of
    those at risk that were cleared, `alarm_rate` the share of the others that were at_risk. `workload` is at
    the file's prevalence, then at a stated one. `notes` are what a reader must know about the examples.
    `tolerated_miss_rate` is the calibration's, or without one the task's. `states` says in words what bound
    the calibration states. `depths` counts the examples by how many layers of the network were read to
    decide.
    """

    version: int
    made: dt.datetime
    task: str
    model: str
    bundle: str
    data: str
    digest: str
    runs: str
    scored_by: str
    reading: str
    thresholds: Thresholds
    seen_at_adapt: bool
    examples: int
    positives: int
    unanswered: int
    messages_per_second: float
    auc: float | None
    auc_interval: Interval | None
    even_odds: Flagging
    not_clear: Flagging
    at_risk: Flagging
    miss_rate: float | None
    miss_rate_interval: Interval | None
    alarm_rate: float | None
    alarm_rate_interval: Interval | None
    confusion: list[list[int]]
    tolerated_miss_rate: float
    levels: tuple[str, ...]
    severity: SeverityReport | None
    slices: tuple[Slice, ...]
    workload: tuple[Workload, ...]
    cost: Cost
    curve: tuple[Point, ...]
    reliability: Reliability | None
    worst: tuple[WorstError, ...]
    seed: int
    notes: tuple[str, ...] = ()
    shots: Shots | None = None
    states: str | None = None
    depths: dict[int, int] = {}
