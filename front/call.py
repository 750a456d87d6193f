"""What stands in the line: the texts of one request, and which of them are in a batch."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from worker.stream.batch import Batch, Entry


@dataclass(eq=False)
class Call:
    """The texts of one request. `finish` is called once, on any thread, with None or with what went wrong."""

    entries: Sequence[Entry]
    finish: Callable[[Exception | None], None]
    tokens: list[int] = field(default_factory=list)  # of each entry, estimated
    give_up_at: float = math.inf  # monotonic seconds
    taken: int = 0  # entries that are in a batch, or were
    unread: int = 0  # entries that the engine has not answered
    abandoned: bool = False  # nobody waits for the answer any more

    @property
    def left(self) -> int:
        """Tokens that are not in a batch yet."""
        return sum(self.tokens[self.taken :])


@dataclass
class Portion:
    """A batch, and how many entries of which call are in it."""

    batch: Batch
    calls: list[tuple[Call, int]] = field(default_factory=list)
