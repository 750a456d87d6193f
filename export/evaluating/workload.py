"""What a screen costs: how many messages people see, how right it is then, and what computing costs."""

from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from export.evaluating.figures import Flags, Labels, Risks
from export.evaluating.intervals import Interval, Weights, bootstrap

MILLION: Final = 1_000_000
_POINTS: Final = 200


class Workload(msgspec.Struct, frozen=True):
    """What people see where `prevalence` of all messages are at risk.

    `seen` is the share of messages that come to people, quality samples included. `right` is the share of
    what is not clear that is at risk. `missed_per_million` counts messages at risk that are cleared.
    `stated`: the prevalence was given, and is not the file's.
    """

    prevalence: float
    stated: bool
    seen: float
    seen_interval: Interval
    right: float | None
    right_interval: Interval
    missed_per_million: float
    quality_sample_share: float


class Cost(msgspec.Struct, frozen=True):
    """What computing costs on a machine like this one at `per_hour`, always busy. People are not in it."""

    messages_per_second: float
    hours_per_million: float
    per_hour: float | None
    per_million: float | None


class Point(msgspec.Struct, frozen=True):
    """A lower threshold: the share of those at risk that it clears, and of all messages that people see."""

    threshold: float
    missed: float
    seen: float


def workload(
    labels: Labels, cleared: Flags, prevalence: float | None, samples: float, seed: int = 0
) -> Workload | None:
    """The workload at a stated prevalence, or at the file's; None where one class is missing.

    The file says how each class is ruled, whatever its share; the stream's share weighs the two.
    """
    positives = int(labels.sum())
    if positives in {0, len(labels)}:
        return None
    share = positives / len(labels) if prevalence is None else prevalence

    def figures(weights: Weights) -> NDArray[np.float64]:
        missed = weights @ (labels * cleared) / positives
        quiet = weights @ ((1 - labels) * cleared) / (len(labels) - positives)
        escalated = share * (1 - missed) + (1 - share) * (1 - quiet)
        seen = escalated + samples * (1 - escalated)
        with np.errstate(divide="ignore", invalid="ignore"):
            right = share * (1 - missed) / escalated
        return np.stack([seen, right, share * missed], 1)

    seen, right, missed = (float(figure) for figure in figures(np.ones((1, len(labels)), np.int64))[0])
    of_seen, of_right, _ = bootstrap(labels, figures, seed=seed)
    known = np.isfinite(right)
    return Workload(
        prevalence=share,
        stated=prevalence is not None,
        seen=seen,
        seen_interval=of_seen,
        right=right if known else None,
        right_interval=of_right if known else Interval(0.0, 1.0),
        missed_per_million=missed * MILLION,
        quality_sample_share=samples,
    )


def cost(rate: float, per_hour: float | None) -> Cost:
    """The cost of a million messages at `rate` messages a second."""
    hours = MILLION / rate / 3600
    return Cost(rate, hours, per_hour, None if per_hour is None else hours * per_hour)


def curve(
    labels: Labels, risks: Risks, doubted: Flags, prevalence: float | None, samples: float
) -> tuple[Point, ...]:
    """What other lower thresholds would miss and show; empty where one class is missing.

    `doubted` [N] are never clear, whatever their risk: not read whole, disguised, in another language.
    """
    positives = int(labels.sum())
    if positives in {0, len(labels)}:
        return ()
    share = positives / len(labels) if prevalence is None else prevalence
    every = np.unique(risks)
    if len(every) > _POINTS:
        every = np.unique(np.quantile(risks, np.linspace(0, 1, _POINTS), method="nearest"))
    points = []
    for threshold in [*every, np.nextafter(1.0, 2.0)]:
        cleared = (risks < threshold) & ~doubted
        missed = float((cleared & (labels == 1)).sum() / positives)
        quiet = float((cleared & (labels == 0)).sum() / (len(labels) - positives))
        escalated = share * (1 - missed) + (1 - share) * (1 - quiet)
        points.append(Point(float(min(threshold, 1.0)), missed, escalated + samples * (1 - escalated)))
    return tuple(points)
