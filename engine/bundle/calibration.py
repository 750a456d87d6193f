"""calibration.json: the thresholds, which scores they were fitted on, and what is stated of them."""

from pathlib import Path
from typing import Final, Literal

import msgspec

from engine.bundle.files import decode, read
from engine.identity import ScoreIdentity
from schemas.events import Thresholds

CALIBRATION: Final = "calibration.json"
LARGEST: Final = 1 << 20  # in bytes; no real file is this large

BoundName = Literal["confidence", "expectation"]
ShareSource = Literal["examples", "stated", "traffic", "quality samples"]


class Interval(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Two risk scores: below `lower` a message is clear, from `upper` on it is at_risk."""

    lower: float
    upper: float

    def __post_init__(self) -> None:
        """Refuse scores outside 0 to 1, and a lower threshold above the upper one."""
        if not 0.0 <= self.lower <= self.upper <= 1.0:
            raise ValueError("thresholds need 0 <= lower <= upper <= 1")


class Share(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which share of the stream's messages is at risk, how that is known, and within what it lies.

    `low` and `high` are None where the share was stated. `seen` counts the messages, or the people's
    decisions, that it was estimated from.
    """

    prevalence: float
    source: ShareSource
    low: float | None = None
    high: float | None = None
    seen: int = 0

    def __post_init__(self) -> None:
        """Refuse what is no share."""
        if not all(0.0 <= each <= 1.0 for each in (self.prevalence, self.low or 0.0, self.high or 0.0)):
            raise ValueError("a share needs to be within 0 to 1")

    def __str__(self) -> str:
        """Say it in words: "3.2% of the messages are at risk (2.6% to 3.9%; traffic)"."""
        sure = "" if self.low is None or self.high is None else f"{self.low:.1%} to {self.high:.1%}; "
        where = "as among the examples" if self.source == "examples" else self.source
        return f"{self.prevalence:.2%} of the messages are at risk ({sure}{where})"


class Statement(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What `mimamori calibrate` states of a bundle, from examples that its heads had not seen.

    `confidence`: were examples like these drawn again and again, then in at least this share of draws the
    bundle that results clears at most `max_miss_rate` of the messages at risk. `expectation`: on average over
    the draws it clears at most so many; a single draw may exceed it. `bound` says which of the two set the
    thresholds. The other, where the examples are too few for it, is None. `max_alarm_rate` is about messages
    not at risk that get the verdict at_risk, likewise.

    `missed` of `positives` examples at risk would be cleared, `alarms` of `negatives` others be at_risk.
    """

    bound: BoundName
    max_miss_rate: float
    max_alarm_rate: float
    confidence: float
    with_confidence: Interval | None
    in_expectation: Interval | None
    positives: int
    missed: int
    negatives: int
    alarms: int
    share: Share

    def __post_init__(self) -> None:
        """Refuse rates outside 0 to 1, and a bound that set no thresholds."""
        if not all(0.0 < each < 1.0 for each in (self.max_miss_rate, self.max_alarm_rate, self.confidence)):
            raise ValueError("a statement needs rates and a confidence between 0 and 1")
        if self.thresholds is None:
            raise ValueError(f"a statement by {self.bound} needs thresholds that are set by it")

    @property
    def thresholds(self) -> Interval | None:
        """The thresholds that `bound` set."""
        return self.with_confidence if self.bound == "confidence" else self.in_expectation

    @property
    def stated(self) -> str:
        """The bound in few characters, for labels: "miss<=0.05@0.9", or "miss<=0.05@mean"."""
        held = f"{self.confidence:g}" if self.bound == "confidence" else "mean"
        return f"miss<={self.max_miss_rate:g}@{held}"

    def __str__(self) -> str:
        """Say it in words, for logs and people."""
        held = (
            f"with {self.confidence:.4g} confidence" if self.bound == "confidence" else "in expectation only"
        )
        return (
            f"at most {self.max_miss_rate:.3g} of those at risk are cleared, {held} "
            f"({self.missed} of {self.positives} examples were); risks mean what they say where {self.share}"
        )


class Calibration(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """calibration.json: where the thresholds come from, and which scores they hold for.

    `name` stands on every label, and ends with the digest of the examples that the thresholds were fitted on.
    `adapted_on` is the digest of those that the heads were fitted on, empty where there are none. `fitted_on`
    identifies the scores that the thresholds were fitted on; the engine cuts messages into the windows, and
    restates risks by the odds, that it states. `highest` is the highest score of an example, by heads that
    had not seen it. `graded` counts the examples with a severity that the heads were fitted on. `statement`
    is None before `mimamori calibrate`: the thresholds then have a bound only roughly, and only in
    expectation.
    """

    name: str
    lower: float
    upper: float
    tolerated_miss_rate: float
    examples: int
    positives: int
    fitted_on: ScoreIdentity
    highest: float = 1.0
    graded: int = 0
    adapted_on: str = ""
    statement: Statement | None = None

    def __post_init__(self) -> None:
        """Refuse scores outside 0 to 1, and a lower threshold above the upper one."""
        if not 0.0 <= self.lower <= self.upper <= 1.0:
            raise ValueError("a calibration needs 0 <= lower <= upper <= 1")
        if not 0.0 <= self.highest <= 1.0:
            raise ValueError("a calibration needs 0 <= highest <= 1")
        if self.statement is not None and self.statement.thresholds != Interval(self.lower, self.upper):
            raise ValueError("the statement is about other thresholds than these")

    @property
    def thresholds(self) -> Thresholds:
        """What stands on every label: the thresholds, their name, and what is stated of them."""
        said = self.statement
        if said is None:
            return Thresholds(self.lower, self.upper, self.name)
        return Thresholds(
            self.lower,
            self.upper,
            self.name,
            max_miss_rate=said.max_miss_rate,
            confidence=said.confidence if said.bound == "confidence" else None,
            prevalence=said.share.prevalence,
        )

    @property
    def adapted_digest(self) -> str:
        """The digest of the examples that the heads were fitted on; empty where there are none."""
        if self.adapted_on or self.statement is not None:
            return self.adapted_on
        return self.name.rpartition("-")[2]  # a bundle of before kept it in the name alone

    def has_seen(self, digest: str) -> bool:
        """Whether heads or thresholds were fitted on the examples of this digest."""
        return self.adapted_digest == digest or self.name.endswith(digest)


def read_calibration(path: Path) -> Calibration:
    """Read calibration.json. Raises BundleError: it cannot be read, or its thresholds are impossible."""
    return decode(path, read(path, LARGEST), Calibration, "run `mimamori adapt` again")
