"""Whether messages may stop at a shallow depth, and at which: by the expected cost on the traffic.

Both depths of a cascade give risks on one scale, as each is calibrated on the same labelled examples. There
is one threshold for both: a message is cleared as soon as a depth puts its risk below `lower`. So it is
missed if it is at risk and the lower one of its two risks is below the threshold. That loss only grows with
the threshold, so conformal risk control bounds it as it bounds that of one depth (`thresholds.py`): one
bound, for both together.

The depth is chosen by what it saves, at the threshold of the full depth alone. That choice never looks at how
the shallow depth does on the examples at risk: choosing by it would use up the bound (measured: 0.055 were
missed where 0.05 was asked for, 0.036 with this choice).
"""

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import msgspec
import numpy as np

from engine.errors import TaskError
from engine.odds import sigmoid
from export.adapting.heads import Array, Grade, Ints, Learn, Platt, Vectors, fit_platt
from export.adapting.thresholds import conformal_bounds

# A cascade must be this much faster, or two graphs and two heads are not worth having.
_FASTER: Final = 1.1
# It must clear this share of what the full depth alone clears, or people pay for the machine's time.
_CLEARED: Final = 0.8


class Depth(NamedTuple):
    """A reading at one depth: its layer, how its heads are fitted, its out-of-fold decisions [N]."""

    layer: int
    learn: Learn
    grade: Grade
    decisions: Array


class Weighed(msgspec.Struct, frozen=True):
    """What a cascade of `depth` and `full` would do on the traffic, and whether it was `taken`, or why not.

    `stops` is the share of the traffic that would stop at `depth`. `cleared` is the share that both depths
    clear together, `cleared_alone` what the full depth clears alone, each at its own threshold for the same
    bound, `tolerated_miss_rate`. `messages_per_second` is what that comes to with the rates of this machine.
    """

    depth: int
    full: int
    taken: bool
    stops: float
    cleared: float
    cleared_alone: float
    messages_per_second: float
    faster: float
    tolerated_miss_rate: float
    why: str


def weigh(
    full: Depth,
    candidates: Sequence[Depth],
    vectors: Vectors,
    labels: Ints,
    traffic: Vectors,
    rates: Mapping[int, float],
    rate: float,
    *,
    wanted: bool | None,
) -> tuple[Weighed | None, Depth | None]:
    """Weigh the candidates, which are shallower than `full`; return the best, and it again if it is taken.

    `vectors` are the examples', `rates` the messages a second at each depth, `rate` the tolerated misses.
    `wanted` is as in `Distillation.cascade`. Raises TaskError: one is wanted, and there is no candidate.
    """
    able = [each for each in candidates if fit_platt(each.decisions, labels).slope > 0]
    if wanted is False or not able:
        if wanted:
            raise TaskError(f"--cascade: no depth before layer {full.layer} can tell messages apart")
        return None, None
    deep, deep_traffic = _calibrated(full, vectors, labels, traffic)
    alone = conformal_bounds(deep, labels, rate).lower
    heard = {each.layer: _calibrated(each, vectors, labels, traffic) for each in able}
    seconds = {
        layer: _seconds(rates, layer, full.layer, float(np.mean(heard[layer][1] < alone))) for layer in heard
    }
    best = min(able, key=lambda each: seconds[each.layer])
    shallow, shallow_traffic = heard[best.layer]
    lower = joint_lower(shallow, deep, labels, rate)
    stops = float(np.mean(shallow_traffic < lower))
    expected = 1 / _seconds(rates, best.layer, full.layer, stops)
    cleared = float(np.mean(np.minimum(shallow_traffic, deep_traffic) < lower))
    cleared_alone = float(np.mean(deep_traffic < alone))
    why = ""
    if wanted is None and expected < _FASTER * rates[full.layer]:
        why = "it would not be faster"
    elif wanted is None and cleared < _CLEARED * cleared_alone:
        why = "it would clear much less, and people would read the rest"
    weighed = Weighed(
        depth=best.layer,
        full=full.layer,
        taken=not why,
        stops=stops,
        cleared=cleared,
        cleared_alone=cleared_alone,
        messages_per_second=expected,
        faster=expected / rates[full.layer],
        tolerated_miss_rate=rate,
        why=why,
    )
    return weighed, None if why else best


def joint_lower(shallow: Array, deep: Array, labels: Ints, rate: float) -> float:
    """The threshold for both depths together, from both risks [N] of each example."""
    return conformal_bounds(np.minimum(shallow, deep), labels, rate).lower


def _calibrated(depth: Depth, vectors: Vectors, labels: Ints, traffic: Vectors) -> tuple[Array, Array]:
    """The risks of the examples out of fold [N], and of the traffic [M]."""
    platt: Platt = fit_platt(depth.decisions, labels)
    head = depth.learn(vectors.means(vectors.layer(depth.layer)), np.arange(len(labels)))
    heard = head(traffic.layer(depth.layer))
    return (
        sigmoid(platt.slope * depth.decisions + platt.shift),
        sigmoid(platt.slope * heard + platt.shift),
    )


def _seconds(rates: Mapping[int, float], shallow: int, full: int, stops: float) -> float:
    """Seconds a message, if a share `stops` is read to the shallow depth only.

    What an engine does beside the network is part of either rate, and is done once.
    """
    first, whole = 1 / rates[shallow], 1 / rates[full]
    return first + (1 - stops) * max(0.0, whole - first)
