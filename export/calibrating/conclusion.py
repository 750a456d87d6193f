"""From risks and labels to what is stated: thresholds, odds, and both bounds. It reads no text."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from engine.bundle.calibration import Interval, Share, Statement
from engine.errors import TaskError
from engine.odds import Array, Odds, restated
from export.adapting.heads import Ints
from export.adapting.thresholds import bounds
from export.calibrating.goal import Goal, Mistakes, allows, require_enough
from export.calibrating.stating import finite_log_odds, fit_odds, shifted

FindShare = Callable[[Array, float], Share]
"""Gets the examples' log-odds [N] and the `lower` of their risks, and says which share is at risk."""


class Conclusion(NamedTuple):
    """What is stated, and the examples in the risks that it is stated in.

    `hurdles` [N] and `risks` [N] are restated by `odds`; `decisions` [N] are log-odds from before.
    """

    statement: Statement
    thresholds: Interval
    odds: Odds
    hurdles: Array
    risks: Array
    decisions: Array


def conclude(
    hurdles: Array,
    discounted: Callable[[float], Array],
    labels: Ints,
    goal: Goal,
    find_share: FindShare,
) -> Conclusion:
    """Conclude from examples with 1 in `labels` [N] for at risk.

    `hurdles` [N] are those of `cleared.hurdles`; `discounted` gives the risks [N] whose discount stops at a
    `lower`. Raises TaskError: the examples are too few for the goal, or rank no better than chance.
    """
    require_enough(goal, labels)
    ill = labels == 1
    lower = float(np.sort(hurdles[ill])[allows(goal, goal.bound, labels).misses])
    if lower < 0:
        raise TaskError(
            f"more than {goal.max_miss_rate:g} of the examples at risk are cleared before any threshold "
            "is asked: adapt the bundle again, or allow a higher rate"
        )
    risks = discounted(min(lower, 1.0))
    decisions = finite_log_odds(risks)
    odds, own = fit_odds(decisions, labels), float(labels.mean())
    share = find_share(decisions, min(lower, 1.0))
    odds = shifted(odds, own, share.prevalence)
    hurdles, risks = _restated(hurdles, odds), restated(risks, odds)

    def interval(most: Mistakes) -> Interval | None:
        if min(most) < 0:
            return None
        found = bounds(hurdles[ill], risks[~ill], *most)
        # The highest known risk is never clear; it is the lower one where so many examples can never be.
        return Interval(min(found.lower, float(risks.max())), found.upper)

    chosen = interval(allows(goal, goal.bound, labels))
    assert chosen is not None  # noqa: S101 - enough examples were required
    if chosen.lower < float(np.sort(hurdles[ill])[allows(goal, goal.bound, labels).misses]):
        # The thresholds had crossed and were moved apart: the discount stops lower than it did.
        (lower,) = restated(np.array([chosen.lower]), odds.inverse).tolist()
        risks = restated(discounted(lower), odds)
    statement = Statement(
        bound=goal.bound,
        max_miss_rate=goal.max_miss_rate,
        max_alarm_rate=goal.max_alarm_rate,
        confidence=goal.confidence,
        with_confidence=interval(allows(goal, "confidence", labels)),
        in_expectation=interval(allows(goal, "expectation", labels)),
        positives=int(ill.sum()),
        missed=int((hurdles[ill] < chosen.lower).sum()),
        negatives=int((~ill).sum()),
        alarms=int((risks[~ill] >= chosen.upper).sum()),
        share=share,
    )
    return Conclusion(statement, chosen, odds, hurdles, risks, decisions)


def _restated(hurdles: Array, odds: Odds) -> Array:
    """Restate hurdles [N]; an infinite one stays."""
    finite = np.isfinite(hurdles)
    return np.where(finite, restated(np.where(finite, hurdles, 0.5), odds), hurdles)
