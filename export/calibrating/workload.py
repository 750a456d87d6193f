"""What thresholds mean at the stream's share of messages at risk: who is found, and how much people read."""

import msgspec
import numpy as np
from numpy.typing import NDArray

from engine.odds import Array
from export.adapting.heads import Ints
from export.calibrating.stating import weights


class Workload(msgspec.Struct, frozen=True):
    """Of 1,000 messages of a stream in which the share `prevalence` is at risk.

    `reviewed` is what people see: every message that is not clear, and the quality samples. `missed` are at
    risk and cleared. `found_of_reviewed` and `found_of_at_risk` are the shares at risk among messages that
    are not clear, and among those with the verdict at_risk (positive predictive values); `harmless_of_clear`
    is the share not at risk among clear ones (negative predictive value). A share of nothing is None.
    """

    prevalence: float
    clear: float
    uncertain: float
    at_risk: float
    missed: float
    reviewed: float
    found_of_reviewed: float | None
    found_of_at_risk: float | None
    harmless_of_clear: float | None


def workload(
    hurdles: Array, risks: Array, labels: Ints, lower: float, upper: float, prevalence: float, sampled: float
) -> Workload:
    """Weigh the examples' verdicts as in a stream. `sampled` is the share of clear ones that people see, too.

    `hurdles` [N] are those of `cleared.hurdles`, `risks` [N] the scores, with 1 in `labels` [N] for at risk.
    """
    weight = weights(labels, prevalence)
    clear, at_risk = hurdles < lower, risks >= upper

    def of(chosen: NDArray[np.bool_]) -> float:
        return float(weight @ chosen)

    ill = labels == 1
    cleared, missed, escalated = of(clear), of(clear & ill), of(at_risk)
    return Workload(
        prevalence=prevalence,
        clear=1000 * cleared,
        uncertain=1000 * (1 - cleared - escalated),
        at_risk=1000 * escalated,
        missed=1000 * missed,
        reviewed=1000 * (1 - cleared + sampled * cleared),
        found_of_reviewed=_share(of(~clear & ill), 1 - cleared),
        found_of_at_risk=_share(of(at_risk & ill), escalated),
        harmless_of_clear=_share(of(clear & ~ill), cleared),
    )


def _share(part: float, whole: float) -> float | None:
    return part / whole if whole > np.finfo(float).eps else None
