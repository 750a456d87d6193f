"""Chooses how long messages are cut into windows, by measuring on long texts made of the labelled examples.

Half of the long texts consist of an example at risk among harmless ones, the others of harmless ones alone.
The largest (and so cheapest) windows are chosen in which the examples at risk are found about as often as
when they stand alone. The more windows a text has, the riskier its riskiest one is by chance; how much
riskier the harmless texts become so sets the discount. Texts made of one half of the examples are scored by
heads that were fitted on the other half. There is no guarantee that the stream's long messages are like
these texts.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

import msgspec
import numpy as np

from engine.identity import Windowing
from engine.reading.reader import Reader
from export.adapting.heads import Array, Ints, Learn, Linear, Platt

# The candidates, the cheapest first. Most messages of ordinary traffic have at most `whole` tokens.
CANDIDATES: Final = tuple(Windowing(size, size // 2, whole=32, sentences=True) for size in (24, 16, 12))
# How examples are read before a windowing is chosen.
UNCUT: Final = Windowing(tokens=256, overlap=32, whole=256, sentences=False)
LOSS: Final = 0.05  # how much recall may fall when an example at risk stands among harmless ones
_COMPANY: Final = 8  # harmless examples in a long text, which then has 100 words or more
_MOST: Final = 16  # the most long texts of each kind from each half


class Read(NamedTuple):
    """Pooled vectors [W, ...] of every window, and where each text's windows start [N]."""

    windows: Array
    starts: Ints

    @property
    def counts(self) -> Ints:
        """The number of windows of each text [N]."""
        return np.diff([*self.starts, len(self.windows)])


class Made(NamedTuple):
    """Long texts; for each, whether it holds an example at risk, and from which half its examples come."""

    texts: list[str]
    labels: Ints
    halves: Ints
    alone: Ints  # the index of its example at risk [N], -1 where there is none


def choose_windowing(
    reader: Reader,
    texts: Sequence[str],
    means: Array,
    labels: Ints,
    learn: Learn,
    platt: Platt,
    lower: float,
    rate: float,
) -> Windowing:
    """Choose the windowing for heads that `learn` fits to the `means` [N, H], calibrated by `platt`.

    An example counts as found from `lower` on, in log-odds. A share `rate` of the harmless may be alarms.
    """
    halves = np.zeros(len(labels), np.int64)
    for label in (0, 1):
        halves[np.flatnonzero(labels == label)[1::2]] = 1
    heads = [learn(means, np.flatnonzero(halves != half)) for half in (0, 1)]
    alone = _calibrated(heads, halves, means, platt)
    made = long_texts(texts, labels, halves)
    found = float(np.mean(alone[made.alone[made.labels == 1]] >= lower))
    alarm = float(np.quantile(alone[labels == 0], 1 - rate))
    measured: list[tuple[float, Windowing]] = []
    for windowing in CANDIDATES:
        read = read_windows(reader, made.texts, windowing)
        owners = np.repeat(made.halves, read.counts)
        values = np.maximum.reduceat(_calibrated(heads, owners, read.windows, platt), read.starts)
        harmless = made.labels == 0
        gained = float(np.quantile(values[harmless], 1 - rate)) - alarm
        chance = float(np.log(np.median(read.counts[harmless])))
        discount = round(max(0.0, gained / chance), 3) if chance > 0 else 0.0
        recall = float(np.mean(values[~harmless] >= lower))
        measured.append((recall, msgspec.structs.replace(windowing, discount=discount)))
        if recall >= found - LOSS:
            break
    return max(measured, key=lambda pair: min(pair[0], found - LOSS))[1]


def long_texts(texts: Sequence[str], labels: Ints, halves: Ints) -> Made:
    """Make long texts, each from examples of one half, as many harmless as at risk; always the same ones."""
    chance = np.random.default_rng(0)
    made: list[tuple[str, int, int, int]] = []
    for half in (0, 1):
        harmless = np.flatnonzero((labels == 0) & (halves == half))
        at_risk = np.flatnonzero((labels == 1) & (halves == half))
        for index in at_risk[:_MOST]:
            for label in (0, 1):
                company = [texts[other] for other in chance.permutation(harmless)[:_COMPANY]]
                place = int(chance.integers(len(company) + 1))
                if label:
                    company.insert(place, texts[index])
                made.append((" ".join(company), label, half, int(index) if label else -1))
    long, kinds, of, alone = zip(*made, strict=True)
    return Made(list(long), np.array(kinds), np.array(of), np.array(alone))


def read_windows(reader: Reader, texts: Sequence[str], windowing: Windowing) -> Read:
    """Read texts as they are written, cut as an engine with this windowing cuts them."""
    rows = reader.cutter(windowing).cut(texts)
    starts = np.array([span.start for span in rows.spans], np.int64)
    return Read(reader.rows(rows.tokens).astype(np.float64), starts)


def _calibrated(heads: Sequence[Linear], halves: Ints, vectors: Array, platt: Platt) -> Array:
    """Return the log-odds of each vector [N], by the head that has not seen its half of the examples."""
    values = np.empty(len(vectors))
    for half, head in enumerate(heads):
        values[halves == half] = head(vectors[halves == half])
    return platt.slope * values + platt.shift
