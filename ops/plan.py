"""Reads `alerts.yaml` and `dashboard.yaml` into what rules, runbook and dashboard are made of."""

from pathlib import Path
from typing import Final, Literal, TypeVar

import msgspec

HERE: Final = Path(__file__).parent
T = TypeVar("T")


class PlanError(Exception):
    """The data files say something that cannot be: which, where, and what to do."""


class Burn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How fast an error budget is used up: `times` as fast as allowed, over both windows."""

    times: float
    long: str
    short: str


class Objective(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A promise: the share of `total` that is not `bad`.

    In the expressions WINDOW is a range; there and in the title, WITHIN is the seconds of the promise.
    """

    name: str
    title: str
    share: float
    fewest: int
    bad: str
    total: str

    @property
    def budget(self) -> float:
        """The share that may be bad."""
        return round(1 - self.share, 9)


class Alert(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One alert and its entry in the runbook. Either `expr`, or the `objective` and the `burns` of it."""

    name: str
    severity: Literal["page", "ticket"]
    team: Literal["operations", "safety"]
    summary: str
    see: str
    people: str
    look: list[str]
    do: list[str]
    for_: str = msgspec.field(name="for", default="0m")
    expr: str | None = None
    objective: str | None = None
    burns: list[Burn] = []
    logs: list[str] = []


class Group(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Alerts about one part."""

    name: str
    title: str
    about: str
    alerts: list[Alert]


class Alerts(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All of `alerts.yaml`."""

    within_seconds: float
    objectives: list[Objective]
    groups: list[Group]

    def every(self) -> list[Alert]:
        """All alerts, in order."""
        return [alert for group in self.groups for alert in group.alerts]


class Query(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One line of a panel, named by `legend`."""

    expr: str
    legend: str = ""


class Panel(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One panel. A single figure is green from the share of its `promise` on, or up to `most`."""

    title: str
    about: str
    unit: str
    queries: list[Query]
    kind: Literal["stat", "timeseries"] = "timeseries"
    width: int = 8
    promise: str | None = None
    most: int | None = None


class Row(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One row of panels."""

    title: str
    panels: list[Panel]


class Board(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All of `dashboard.yaml`."""

    title: str
    rows: list[Row]


def load_alerts(path: Path = HERE / "alerts.yaml") -> Alerts:
    """Read the alerts. Raises PlanError."""
    return _load(path, Alerts)


def load_board(path: Path = HERE / "dashboard.yaml") -> Board:
    """Read the dashboard. Raises PlanError."""
    return _load(path, Board)


def _load(path: Path, into: type[T]) -> T:
    try:
        return msgspec.yaml.decode(path.read_bytes(), type=into)
    except msgspec.MsgspecError as error:
        raise PlanError(f"{path.name}: {error}") from None
