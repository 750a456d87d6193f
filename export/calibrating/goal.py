"""What is to be promised, and whether the examples are enough for it."""

from typing import Final, NamedTuple

from engine.bundle.calibration import BoundName
from engine.errors import SettingsError, TaskError
from export.adapting.heads import Ints
from export.adapting.thresholds import allowed, allowed_with, needed, needed_with

CONFIDENCE: Final = 0.9
MAX_ALARM_RATE: Final = 0.05
_FEWEST: Final = 2  # of a class: one to fit on and one to test on


class Goal(NamedTuple):
    """The rates of mistakes that are tolerable, and which bound sets the thresholds: see Statement."""

    max_miss_rate: float
    max_alarm_rate: float = MAX_ALARM_RATE
    confidence: float = CONFIDENCE
    bound: BoundName = "confidence"


class Mistakes(NamedTuple):
    """The most mistakes that a bound allows among the examples; -1 where not even 0 are few enough."""

    misses: int
    alarms: int


def allows(goal: Goal, bound: BoundName, labels: Ints) -> Mistakes:
    """Which mistakes `bound` allows among examples with 1 in `labels` [N] for at risk."""
    sides = ((int(labels.sum()), goal.max_miss_rate), (int((1 - labels).sum()), goal.max_alarm_rate))
    sure = bound == "confidence"
    return Mistakes(
        *(
            allowed_with(goal.confidence, count, rate) if sure else allowed(count, rate)
            for count, rate in sides
        )
    )


def require_possible(goal: Goal) -> None:
    """Raise SettingsError where a rate or the confidence is not between 0 and 1."""
    rates = {
        "--max-miss-rate": goal.max_miss_rate,
        "--max-alarm-rate": goal.max_alarm_rate,
        "--confidence": goal.confidence,
    }
    for option, rate in rates.items():
        require_between(option, rate)


def require_between(option: str, rate: float) -> None:
    """Raise SettingsError where the `rate` of a command's `option` is not above 0 and below 1."""
    if not 0 < rate < 1:
        raise SettingsError(f"{option} {rate:g}: give a share above 0 and below 1, such as 0.05")


def require_enough(goal: Goal, labels: Ints) -> None:
    """Raise TaskError where the examples are too few for the goal's bound, saying how many it takes."""
    sure = goal.bound == "confidence"
    sides = {
        "at risk": (int(labels.sum()), goal.max_miss_rate, "a miss rate"),
        "not at risk": (int((1 - labels).sum()), goal.max_alarm_rate, "a rate of false alarms"),
    }
    short = []
    for kind, (count, rate, what) in sides.items():
        enough = max(_FEWEST, needed_with(goal.confidence, rate) if sure else needed(rate))
        if count < enough:
            short.append(f"{what} of {rate:g} takes {enough} examples {kind}, there are {count}")
    if short:
        held = f"with {goal.confidence:g} confidence" if sure else "in expectation"
        less = "take --bound expectation, which needs fewer, " if sure else ""
        raise TaskError(
            f"too few examples to promise anything {held}: {'; '.join(short)}: label more, {less}"
            "or allow higher rates"
        )
