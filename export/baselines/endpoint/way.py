"""An endpoint as a way of screening: zero-shot, or with the examples as earlier turns."""

from collections.abc import Callable, Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from engine.task import Task
from export.baselines.endpoint.endpoint import Endpoint
from export.baselines.endpoint.question import Question, ask_about
from export.examples import LabelledExample


class EndpointWay:
    """Puts the task's risk question to the endpoint, about each text."""

    def __init__(self, endpoint: Endpoint, task: Task, *, few_shot: bool = False) -> None:
        """`few_shot` shows the model all examples of a draw, each as a question and its answer."""
        self.endpoint = endpoint
        self.name = f"{endpoint.name}, {'few-shot' if few_shot else 'zero-shot'}"
        self.fewest = 1 if few_shot else 0
        self._task = task
        self._asked = 0
        self._paid = 0.0

    @property
    def messages_per_second(self) -> float | None:
        """How many messages a second the endpoint answered, its limits included."""
        return self.endpoint.messages_per_second

    @property
    def cost_per_million(self) -> float | None:
        """What a million messages cost, at what was paid for the questions of this way, over its draws."""
        if self.endpoint.bill.cost is None or not self._asked:
            return None
        return self._paid / self._asked * 1e6

    def announce(self, draws: Iterable[Sequence[LabelledExample]], texts: Sequence[str]) -> None:
        """Tell what asking about `texts` with each of `draws` sends and may cost, before any of it is sent.

        Raises EndpointError: it may cost more than the limit.
        """
        self.endpoint.announce(each for examples in draws for each in self._questions(examples, texts))

    def risks(
        self, examples: Sequence[LabelledExample], texts: Sequence[str], count: Callable[[int], None]
    ) -> NDArray[np.float64]:
        """See Way.risks. Raises EndpointError: it cannot be used, or would cost more than the limit."""
        # The bill is the endpoint's, and zero-shot and few-shot share it: what this way added is its own.
        bill = self.endpoint.bill
        asked, paid = bill.requests, bill.cost or 0.0
        found = self.endpoint.risks(list(self._questions(examples, texts)), count)
        self._asked += bill.requests - asked
        self._paid += (bill.cost or 0.0) - paid
        return found

    def _questions(self, examples: Sequence[LabelledExample], texts: Sequence[str]) -> Iterable[Question]:
        shown = examples if self.fewest else ()
        return (ask_about(self._task, shown, text) for text in texts)
