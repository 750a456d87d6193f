"""Which unlabelled messages to label next: those that stand for many others which the head is unsure of.

    weigh     each message by p (1 - p), where p is the head's, its decisions divided by their spread. Before
              there is a head, all weigh the same
    cluster   the traffic's vectors by k-means with these weights, in as many clusters as suggestions
    choose    the message nearest to each cluster's middle; the heaviest clusters come first

So no two suggestions are alike, an odd message is none, and what the head knows already is asked about less.
The most uncertain messages alone were worse than messages drawn at random, those likeliest to be at risk
were where half of the traffic is at risk, and neither is chosen by (`bench/suggestions.py`).
"""

from typing import Final, NamedTuple

import numpy as np
from sklearn.cluster import KMeans

from engine.odds import sigmoid
from export.adapting.heads import Array, standard

_DIRECTIONS: Final = 50  # principal ones; more of them are noise to distances
_STARTS: Final = 10
# A message is called uncertain from this weight on: p between .28 and .72.
_UNCERTAIN: Final = 0.2


class Suggestion(NamedTuple):
    """A message by its index, for how many it stands, and whether the head is unsure of it."""

    message: int
    stands_for: int
    uncertain: bool


def suggest(vectors: Array, decisions: Array | None, count: int) -> list[Suggestion]:
    """Choose up to `count` of the messages with these pooled vectors [M, H], the most telling first.

    `decisions` [M] are the head's, None where there is none yet. The same values give the same suggestions.
    """
    weights = np.full(len(vectors), 0.25)
    if decisions is not None:
        p = sigmoid(decisions / (float(decisions.std()) or 1.0))
        weights = p * (1 - p)
    mean, scale = standard(vectors)
    z = (vectors - mean) / scale
    _, basis = np.linalg.eigh(z.T @ z)
    z = z @ basis[:, -_DIRECTIONS:]
    different = len(np.unique(z, axis=0))
    clusters = KMeans(min(count, different), n_init=_STARTS, random_state=0).fit(z, sample_weight=weights)
    apart = ((z - clusters.cluster_centers_[clusters.labels_]) ** 2).sum(axis=1)
    found: list[tuple[float, Suggestion]] = []
    for cluster in range(clusters.n_clusters):
        members = np.flatnonzero(clusters.labels_ == cluster)
        middle = int(members[apart[members].argmin()])
        uncertain = decisions is not None and bool(weights[middle] >= _UNCERTAIN)
        found.append((float(weights[members].sum()), Suggestion(middle, len(members), uncertain)))
    return [suggestion for _, suggestion in sorted(found, key=lambda each: -each[0])]
