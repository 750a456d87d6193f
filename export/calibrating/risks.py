"""Examples and traffic as a bundle's own heads or label tokens score them: nothing is restated."""

from collections.abc import Callable, Sequence

import msgspec

from engine.bundle import Bundle
from engine.load import engine_on
from engine.odds import Array
from engine.reading.reader import Reader
from export.calibrating.cleared import hurdles, read_all, risks_of

Count = Callable[[int, int], None]


class Risks:
    """The risks of texts, read once; those of long ones again for each `lower` that their discount stops at.

    `undiscounted` [N] and `hurdles` [N] are without any discount. A message is cleared exactly if its hurdle,
    which never had a discount, is below `lower`: no discount takes a risk below it.
    """

    def __init__(self, reader: Reader, bundle: Bundle, texts: Sequence[str], progress: Count) -> None:
        """`reader` has the graph of `bundle` open. Raises as `read_all` does."""
        self._reader, self._bundle = reader, bundle
        engine = engine_on(reader, _plain(bundle, 1.0))  # no risk is above 1, so nothing is discounted
        scores = read_all(engine, texts, progress)
        self.undiscounted = risks_of(scores)
        self.hurdles = hurdles(scores)
        self._long = [place for place, each in enumerate(scores) if each.windows > 1]
        self._texts = [texts[place] for place in self._long]

    def discounted(self, lower: float) -> Array:
        """The risks [N] with the discount of long messages, which takes none below `lower`."""
        risks = self.undiscounted.copy()
        if self._long and self._bundle.windowing.discount:
            risks[self._long] = self.of(self._texts, lower)
        return risks

    def of(self, texts: Sequence[str], lower: float, progress: Count = lambda *_: None) -> Array:
        """The risks [T] of other texts, likewise."""
        engine = engine_on(self._reader, _plain(self._bundle, lower))
        return risks_of(read_all(engine, texts, progress))


def _plain(bundle: Bundle, lower: float) -> Bundle:
    """The bundle as it scores without odds, where its discount stops at `lower`."""
    if bundle.calibration is None:
        return bundle
    fitted_on = msgspec.structs.replace(bundle.calibration.fitted_on, odds=None)
    plain = msgspec.structs.replace(
        bundle.calibration, lower=lower, upper=1.0, fitted_on=fitted_on, statement=None
    )
    return msgspec.structs.replace(bundle, calibration=plain)
