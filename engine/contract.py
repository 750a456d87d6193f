"""What an engine promises. The package's docstring states the batch law and the threading rule."""

from collections.abc import Sequence
from typing import Protocol

from engine.identity import ScoreIdentity
from engine.scores import Scores
from schemas.vocabulary import Reading


class Engine(Protocol):
    """Scores messages. The package's docstring states the batch law and the threading rule."""

    @property
    def device(self) -> str:
        """The device that really runs."""

    @property
    def precision(self) -> str:
        """The precision that really runs."""

    @property
    def identity(self) -> ScoreIdentity:
        """Everything that decides the numbers of this engine's scores."""

    @property
    def reading(self) -> Reading:
        """The pooled reading gives risk and severity in one pass, the prompted one risk alone."""

    def read(self, texts: Sequence[str]) -> list[Scores]:
        """Score messages: one Scores per text, in order. Severity is None in the prompted reading.

        A message that yields no tokens is marked `truncated`, because none of it was read.
        """

    def grade(self, texts: Sequence[str]) -> list[tuple[float, ...]]:
        """Run the severity stage: for each text, one probability per level, least severe first.

        In the pooled reading these are the severities of `read`. In the prompted reading a long message is
        graded by its gravest window (the one with the highest mean level).
        """

    def describe(self) -> str:
        """Describe what runs, for people: "openvino bf16, 2 threads"."""
