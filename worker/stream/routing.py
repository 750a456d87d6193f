"""Which bundle a message is screened with: that of its task, or for a stated share the one that is on trial.

    message.task ──► none: the default task │ one that is served │ another: `unknown_task`   (decode.py)
                           │
                           ▼
    the task's bundle, or its canary's where draw(message.id) < share

The choice depends on the message alone, and on settings. So a message that is delivered again, or sent again,
goes to the same bundle, on whichever worker with these settings. A larger share only adds to the messages of
a canary, and takes none from it.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from schemas.events import Message
from worker.stream.batch import Entry
from worker.stream.pipeline import Pipeline

# Another draw than those of shadows and of quality samples, so that none decides who is in the others.
_SALT: Final = "canary:"


@dataclass(frozen=True)
class Canary:
    """A candidate for the bundle of its task, which labels a `share` of the task's messages, in [0, 1]."""

    pipeline: Pipeline
    share: float


class Routing:
    """The pipelines of one worker: one for each task, and perhaps a canary beside one of them."""

    def __init__(self, default: Pipeline, *others: Pipeline, canary: Canary | None = None) -> None:
        """Messages that name no task go to `default`. The tasks differ; a canary's is one of them."""
        self.default = default
        self._of_task: Mapping[str, Pipeline] = {each.task.name: each for each in (default, *others)}
        self._canary = canary

    @property
    def tasks(self) -> frozenset[str]:
        """The names of the tasks that are served."""
        return frozenset(self._of_task)

    @property
    def pipelines(self) -> Sequence[Pipeline]:
        """All pipelines, the default one first."""
        on_trial = [] if self._canary is None else [self._canary.pipeline]
        return [*self._of_task.values(), *on_trial]

    def of(self, message: Message) -> Pipeline:
        """Where the message goes. Raises KeyError: its task is not served."""
        chosen = self.default if message.task is None else self._of_task[message.task]
        canary = self._canary
        if canary is None or canary.pipeline.task.name != chosen.task.name:
            return chosen
        return canary.pipeline if canary_draw(message.id) < canary.share else chosen

    def apart(self, entries: Iterable[Entry]) -> Mapping[Pipeline, list[Entry]]:
        """The entries of each pipeline, in order. Those that belong to none count to the default one."""
        if self._canary is None and len(self._of_task) == 1:
            return {self.default: list(entries)}
        found: dict[Pipeline, list[Entry]] = {}
        for entry in entries:
            found.setdefault(entry.pipeline or self.default, []).append(entry)
        return found


def canary_draw(message_id: str) -> float:
    """The message is a canary's where this number, in [0, 1), is below its share."""
    return draw(_SALT, message_id)


def draw(salt: str, message_id: str) -> float:
    """A pseudo-random number in [0, 1): one for each salt and id, wherever and whenever a message comes."""
    content = (salt + message_id).encode("utf-8", "surrogatepass")
    # 53 bits, as many as a float holds: more could be rounded up to 1, which no share takes in.
    return (int.from_bytes(hashlib.blake2b(content, digest_size=8).digest(), "big") >> 11) / 2**53
