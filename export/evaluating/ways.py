"""A way of screening: anything that gives texts a risk, so that all ways are measured by the same code.

The ways are the readings of a bundle, and baselines such as a sentence embedding or a large model behind an
endpoint.
"""

from collections.abc import Callable, Sequence
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from export.examples import LabelledExample

Count = Callable[[int], None]
"""Is told how many more texts were read."""


class Way(Protocol):
    """One way of screening. It is fitted again for each draw of examples."""

    @property
    def name(self) -> str:
        """What the report calls it: "head", "sentence embedding + logistic regression"."""

    @property
    def fewest(self) -> int:
        """How many labelled examples it needs; 0 for one that is asked without any."""

    def risks(
        self, examples: Sequence[LabelledExample], texts: Sequence[str], count: Count
    ) -> NDArray[np.float64]:
        """The risk [N] in [0, 1] of each text, by what was fitted on (or shown) these examples alone.

        From 0.5 on a text counts as at risk. NaN where the way gave no answer: such a text is counted as
        unanswered, never as clear.

        Raises FatalError: the way cannot be run at all.
        """


@runtime_checkable
class Timed(Protocol):
    """A way that also says how fast it is. It is asked once all draws were measured."""

    @property
    def messages_per_second(self) -> float | None:
        """How many messages a second it screens here; None where that was not measured."""


@runtime_checkable
class Priced(Protocol):
    """A way that somebody else runs, for money. It is asked once all draws were measured."""

    @property
    def cost_per_million(self) -> float | None:
        """What a million messages cost at what was paid for those asked; None where no price is known."""
