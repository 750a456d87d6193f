"""Which share of a stream is at risk: estimated from unlabelled traffic, or from what people decided.

From traffic: each message's risk says how much likelier it is among messages at risk than among others. The
share that makes all the traffic together likeliest is where the EM of Saerens et al. (2002, Neural
Computation 14:21) ends. As the likelihood has one hill, bisection finds its top. It assumes that the stream's
messages of either class look like the examples of that class; `fits` compares what can be compared.
"""

from collections.abc import Iterable
from typing import Final, NamedTuple

import numpy as np
from scipy.stats import beta
from threadpoolctl import threadpool_limits

from engine.bundle.calibration import Share
from engine.errors import TaskError
from engine.odds import Array
from export.adapting.heads import Ints, fit_platt
from export.calibrating.stating import finite_log_odds

FEWEST: Final = 200
MOST: Final = 4000
_DRAWS: Final = 100
_TAIL: Final = 0.05  # of the 90 % interval, at either end
_STEPS: Final = 50
# Kolmogorov and Smirnov's distance that chance alone exceeds once in a hundred times.
_FAR: Final = 1.63


class Decided(NamedTuple):
    """People's findings about one kind of cases: how many cases there are, and of those decided, at risk."""

    cases: int
    decided: int
    at_risk: int


def draw(texts: Iterable[str], most: int = MOST) -> list[str]:
    """Draw up to `most` of the texts that hold anything, each with the same chance, always the same ones.

    What is repeated stays so: the stream repeats it, too. Raises TaskError: fewer than 200 are there.
    """
    chance = np.random.default_rng(0)
    kept: list[str] = []
    seen = 0
    for text in texts:
        if not text.strip():
            continue
        seen += 1
        if len(kept) < most:
            kept.append(text)
        elif (place := int(chance.integers(seen))) < most:
            kept[place] = text
    if len(kept) < FEWEST:
        raise TaskError(
            f"estimating the share at risk takes {FEWEST} messages or more, the traffic has {len(kept)}: "
            "bring more traffic, or state the share with --prevalence"
        )
    return kept


def from_traffic(decisions: Array, labels: Ints, risks: Array) -> Share:
    """Estimate the share from the log-odds of labelled examples [N] and the risks of traffic [T].

    The interval (90 %) covers the draw of the examples and of the traffic, each drawn again 100 times.
    Raises TaskError: the estimate does not converge to a share between 0 and 1, or cannot be told from them.
    """
    chance, traffic = np.random.default_rng(0), finite_log_odds(risks)
    groups = [np.flatnonzero(labels == label) for label in (0, 1)]
    with threadpool_limits(1, "blas"):
        share = likeliest(_ratios(decisions, labels, traffic))
        again = np.empty(_DRAWS)
        for number in range(_DRAWS):
            chosen = np.concatenate([chance.choice(group, len(group)) for group in groups])
            heard = traffic[chance.integers(len(traffic), size=len(traffic))]
            again[number] = likeliest(_ratios(decisions[chosen], labels[chosen], heard))
    low, high = (float(end) for end in np.quantile(again, [_TAIL, 1.0 - _TAIL]))
    nearest = 0.5 / len(traffic)  # half a message of the traffic
    if not nearest < share < 1.0 - nearest or low < nearest or high > 1.0 - nearest:
        end = "all" if share + low + high > 1.5 else "none"  # noqa: PLR2004 - the nearer end
        raise TaskError(
            f"the share at risk cannot be estimated from {len(traffic)} messages of traffic: it does not "
            f"converge away from {end} (90% of draws: {low:.2%} to {high:.2%}): bring more traffic or more "
            "examples, or state the share with --prevalence"
        )
    return Share(share, "traffic", low, high, len(traffic))


def likeliest(ratios: Array) -> float:
    """The share at risk that makes messages likeliest, each this many times likelier if at risk [T].

    0 or 1 where the likelihood only grows towards that end.
    """

    def uphill(share: float) -> bool:
        return float(np.sum((ratios - 1.0) / (share * ratios + (1.0 - share)))) > 0

    low, high = 0.0, 1.0
    if not uphill(low) or uphill(high):
        return float(uphill(high))
    for _ in range(_STEPS):
        middle = (low + high) / 2
        low, high = (middle, high) if uphill(middle) else (low, middle)
    return (low + high) / 2


def fits(decisions: Array, labels: Ints, risks: Array, share: float) -> bool:
    """Whether traffic of these risks [T] could be a mixture of the examples' classes with this share at risk.

    It compares the distributions of their log-odds. Where they lie farther apart than chance explains, the
    stream's messages differ from the examples, and a share estimated from them is doubtful.
    """
    at_risk, others = np.sort(decisions[labels == 1]), np.sort(decisions[labels == 0])
    traffic = finite_log_odds(risks)
    at = np.sort(np.concatenate([decisions, traffic]))

    def below(values: Array) -> Array:
        return np.searchsorted(values, at, side="right") / len(values)

    apart = np.abs(below(np.sort(traffic)) - share * below(at_risk) - (1 - share) * below(others)).max()
    noise = share**2 / len(at_risk) + (1 - share) ** 2 / len(others) + 1 / len(traffic)
    return bool(apart <= _FAR * np.sqrt(noise))


def from_decisions(escalated: Decided, samples: Decided, sampled: float) -> Share:
    """Estimate the share from people's findings on escalations and on quality samples.

    `sampled` is the share of clear messages that became quality samples, so that each stands for 1 / sampled
    messages. The interval (90 %) takes the exact binomial one of either kind.

    Raises TaskError: there are no decisions of one kind, or nobody was found at risk.
    """
    if not 0 < sampled <= 1:
        raise TaskError(
            "no quality samples are drawn (MIMAMORI_QUALITY_SAMPLE_SHARE is 0): state --prevalence"
        )
    for kind, found in (("quality samples", samples), ("escalations", escalated)):
        if not found.decided and (found.cases or found is samples):
            raise TaskError(f"people have decided no {kind}: wait for decisions, or state --prevalence")
    heads = np.array([escalated.cases, samples.cases / sampled])
    heads /= heads.sum()
    kinds = (escalated, samples)
    share = sum(head * _rate(each) for head, each in zip(heads, kinds, strict=True))
    low, high = (
        float(sum(head * _end(each, tail) for head, each in zip(heads, kinds, strict=True)))
        for tail in (_TAIL, 1.0 - _TAIL)
    )
    if not 0 < share < 1:
        raise TaskError(
            f"{'none' if share <= 0 else 'all'} of {escalated.decided + samples.decided} decisions found "
            f"somebody at risk: the share cannot be estimated (it may be {low:.2%} to {high:.2%}); state "
            "--prevalence"
        )
    return Share(float(share), "quality samples", low, high, escalated.decided + samples.decided)


def _ratios(decisions: Array, labels: Ints, traffic: Array) -> Array:
    """How many times likelier each message is if at risk [T], by Platt scaling of the examples."""
    platt = fit_platt(decisions, labels, even=0.0)
    own = float(labels.mean())
    return np.exp(np.clip(platt.slope * traffic + platt.shift, -40, 40)) * (1 - own) / own


def _rate(found: Decided) -> float:
    return found.at_risk / found.decided if found.decided else 0.0


def _end(found: Decided, tail: float) -> float:
    """One end of Clopper and Pearson's interval."""
    if not found.decided:
        return 0.0
    upper = tail > 0.5  # noqa: PLR2004 - which end
    first, second = found.at_risk + upper, found.decided - found.at_risk + (not upper)
    return float(upper) if not (first and second) else float(beta.ppf(tail, first, second))
