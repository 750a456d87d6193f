"""What an engine promises. See the package for the batch law and the threading rule."""

from collections.abc import Sequence
from typing import Protocol

from engine.scores import Scores
from schemas.vocabulary import Reading


class Engine(Protocol):
    """Reads messages. See the package for the batch law and the threading rule."""

    @property
    def device(self) -> str:
        """The device that really runs."""

    @property
    def precision(self) -> str:
        """The precision that really runs."""

    @property
    def reading(self) -> Reading:
        """The pooled reading gives risk and severity in one pass, the prompted one risk alone."""

    def read(self, texts: Sequence[str]) -> list[Scores]:
        """Score messages: one Scores per text, in order. Severity is None in the prompted reading.

        A message of which nothing could be tokenised is `truncated`: none of it was read.
        """

    def grade(self, texts: Sequence[str]) -> list[tuple[float, ...]]:
        """The severity stage: per text, one probability per level, least severe first.

        In the pooled reading these are the severities of `read`. In the prompted one a long message
        is graded by its gravest window (highest mean level).
        """

    def describe(self) -> str:
        """What runs, for people: "openvino bf16, 2 threads"."""
