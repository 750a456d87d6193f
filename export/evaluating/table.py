"""The table of all ways of screening, for any data set: which there are, and all of them on the same draws.

A new reading is listed in `ways_of`; a way that is no reading of the bundle is one of `table`'s `others`.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from engine.bundle import Bundle
from engine.device_names import DeviceChoice, PrecisionChoice
from engine.scores import Scores
from export.adapting.adapt import FEWEST
from export.adapting.heads import Array
from export.evaluating.labelled import Labelled
from export.evaluating.readings import Readings
from export.evaluating.shots import DRAWS, SHOTS, Progress, Row, Shots, draw, measure, require_both
from export.evaluating.ways import Count, Priced, Timed, Way
from export.evaluating.workload import cost
from export.examples import LabelledExample


class TableAsked(NamedTuple):
    """How many labels, how many draws, by which seed; and the depths to distil where there is `traffic`.

    `cost_per_hour` is what a machine like this one costs.
    """

    shots: Sequence[int] = SHOTS
    draws: int = DRAWS
    seed: int = 1
    traffic: Iterable[str] | None = None
    depths: Sequence[int] = (1, 4)
    device: DeviceChoice = "auto"
    precision: PrecisionChoice = "auto"
    threads: int = 0
    cost_per_hour: float | None = None


class ZeroShotWay:
    """The prompted reading: the model is asked, and has seen no example. Its answers are known already."""

    name = "zero-shot"
    fewest = 0

    def __init__(self, scores: Sequence[Scores], messages_per_second: float) -> None:
        self._risks = np.array([each.risk for each in scores])
        self.messages_per_second = messages_per_second

    def risks(self, examples: Sequence[LabelledExample], texts: Sequence[str], count: Count) -> Array:  # noqa: ARG002 - see Way
        """See Way."""
        count(len(texts))
        return self._risks


class HeadWay:
    """The adapted head, or a distilled one of `depth` layers."""

    fewest = FEWEST

    def __init__(self, readings: Readings, depth: int | None = None) -> None:
        self._readings = readings
        self._depth = depth
        self.name = "head" if depth is None else f"distilled, {depth} layer{'s' * (depth > 1)}"

    @property
    def messages_per_second(self) -> float | None:
        """How fast an engine with this reading is here; None where no draw was large enough to fit it."""
        return self._readings.rates.get(self._depth or self._readings.layer)

    def risks(self, examples: Sequence[LabelledExample], texts: Sequence[str], count: Count) -> Array:
        """See Way."""
        found = self._readings.head(examples, self._depth)
        count(len(texts))
        return found


class CascadeWay:
    """Messages stop at a distilled depth where that clears them, and go on to the adapted head's otherwise.

    How fast that is hangs on how many stop, and so on the stream: `adapt` measures it on traffic.
    """

    fewest = FEWEST

    def __init__(self, readings: Readings, depth: int, rate: float) -> None:
        self._readings = readings
        self._depth = depth
        self._rate = rate
        self.name = f"cascade, {depth} layer{'s' * (depth > 1)} first"

    def risks(self, examples: Sequence[LabelledExample], texts: Sequence[str], count: Count) -> Array:
        """See Way."""
        found = self._readings.cascade(examples, self._depth, self._rate)
        count(len(texts))
        return found


def ways_of(readings: Readings, scores: Sequence[Scores], rate: float, tolerated: float) -> list[Way]:
    """The bundle's readings as ways; those of the prompted one are known. Cascades may miss `tolerated`."""
    return [
        ZeroShotWay(scores, rate),
        HeadWay(readings),
        *(HeadWay(readings, depth) for depth in readings.depths),
        *(CascadeWay(readings, depth, tolerated) for depth in readings.depths),
    ]


def table(
    full: Bundle,
    train: Labelled,
    test: Labelled,
    scores: Sequence[Scores],
    rate: float,
    asked: TableAsked,
    progress: Progress = lambda *_: None,
    others: Sequence[Way] = (),
) -> Shots:
    """Draw, fit and measure. `scores` are the prompted reading's of `test`, `rate` its messages a second.

    Raises TaskError: the training file has too few examples of a class, or the test file has one class only.
    BundleError: the bundle is not a full one. FatalError: a way cannot be run.
    """
    require_both(test.examples)
    drawn = draw(train.examples, asked.shots, asked.draws, asked.seed)
    readings = Readings(
        full,
        drawn,
        test.examples,
        progress,
        traffic=asked.traffic,
        train=train.examples,
        depths=asked.depths,
        device=asked.device,
        precision=asked.precision,
        threads=asked.threads,
    )
    tolerated = full.manifest.task.policy.tolerated_miss_rate
    ways = [*ways_of(readings, scores, rate, tolerated), *others]
    rows = measure(ways, drawn, test.examples, progress)
    rates = {way.name: way.messages_per_second for way in ways if isinstance(way, Timed)}
    return Shots(
        train=train.path.name,
        train_examples=len(train.examples),
        test_examples=len(test.examples),
        labels=tuple(sorted(set(asked.shots))),
        draws=asked.draws,
        seed=asked.seed,
        rows=rows,
        fewest={way.name: way.fewest for way in ways},
        messages_per_second={name: each for name, each in rates.items() if each is not None},
        cost_per_million={way.name: each for way in ways if (each := _cost(way, asked.cost_per_hour))},
        notes=(
            *(() if asked.traffic is None else _left_out(asked.depths, readings)),
            *_unanswered(rows, len(test.examples)),
            *(() if rows else [f"No way can be fitted to so few labels: give --shots 0 or {FEWEST}, too."]),
        ),
    )


def _unanswered(rows: Sequence[Row], texts: int) -> Iterator[str]:
    """Which ways left texts unanswered: they count as at risk, so that recall flatters such a way."""
    for row in rows:
        if row.unanswered:
            asked = texts * len(row.f1.draws)
            yield (
                f"{row.way}, {row.labels} labels: {row.unanswered} of {asked} unanswered. They count "
                "as at risk, since a person would look, so that recall flatters."
            )


def _left_out(depths: Sequence[int], readings: Readings) -> Iterator[str]:
    """Which of the depths that were asked for have no reading, and why."""
    if not readings.layer:
        yield f"No draw has {FEWEST} labels, so that there is no head to distil from: --traffic was not read."
    elif left := sorted(set(depths) - set(readings.depths)):
        said = ", ".join(map(str, left))
        yield (
            f"--depths {said}: not distilled, since a depth must be above 0 and below the head's layer, "
            f"which is {readings.shallowest} in one of the draws."
        )


def _cost(way: Way, per_hour: float | None) -> float | None:
    """What a million messages cost this way: by its bill, or on a machine like this one, always busy."""
    if isinstance(way, Priced):
        return way.cost_per_million
    rate = way.messages_per_second if isinstance(way, Timed) else None
    return None if rate is None else cost(rate, per_hour).per_million
