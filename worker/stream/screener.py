"""Station 2: gives every message of a batch its scores: the risk, and severity where the policy needs it.

It gives no verdicts (see `policy.py`) and drops no messages. Identical texts of a batch are read once. A text
that the engine fails on, while it reads others, is rejected (see `bisection.py`). Where only the severity of
a text fails, the message keeps its risk, and comes first in the review queue.
"""

from collections.abc import Iterable

import msgspec

from engine.contract import Engine
from engine.policy import Policy
from engine.scores import UNGRADABLE, Scores
from worker.cache.score_cache import ScoreCache
from worker.errors import RecordError
from worker.stream.batch import Batch, Entry
from worker.stream.bisection import CONTROL, read_in_halves


class Screener:
    """Scores batches with the engine. The policy says who needs a severity; the cache keeps scores."""

    def __init__(self, engine: Engine, policy: Policy, cache: ScoreCache) -> None:
        self._engine = engine
        self._policy = policy
        self._cache = cache

    def screen(self, batch: Batch) -> None:
        """Set `scores`, or else `rejection`, on every entry that has a message.

        Raises what the engine raises (DeviceError) where the engine can no longer read anything.
        """
        fresh = self._read(batch)
        fresh |= self._grade(batch)
        if fresh:
            self._cache.store(list(fresh), list(fresh.values()))

    def prove(self) -> None:
        """Read a control text, and raise what the engine raises.

        Called before a message is read alone, so that a device that is gone is not blamed on the message.
        """
        self._engine.read([CONTROL])

    def _read(self, batch: Batch) -> dict[str, Scores]:
        """The risk stage, for texts that are not cached. In the pooled reading, severity comes with it."""
        unread = _by_text(entry for entry in batch.entries if entry.message and entry.scores is None)
        scores, refused = read_in_halves(self._engine.read, list(unread))
        for text, entries in unread.items():
            for entry in entries:
                if text in refused:
                    _reject(entry, refused[text])
                else:
                    entry.scores = scores[text]
        return scores

    def _grade(self, batch: Batch) -> dict[str, Scores]:
        """The severity stage, for messages that will not be clear and have no severity yet."""
        ungraded = _by_text(entry for entry in batch.entries if self._lacks_severity(entry))
        severities, _ = read_in_halves(self._engine.grade, list(ungraded))
        graded: dict[str, Scores] = {}
        for text, entries in ungraded.items():
            severity = severities.get(text, UNGRADABLE)
            for entry in entries:
                if entry.scores is not None:
                    entry.scores = graded[text] = msgspec.structs.replace(entry.scores, severity=severity)
        return graded

    def _lacks_severity(self, entry: Entry) -> bool:
        if entry.message is None or entry.scores is None or entry.scores.severity is not None:
            return False
        return self._policy.needs_severity(entry.reading or entry.scores, entry.message.language)


def _reject(entry: Entry, error: Exception) -> None:
    # Leave out the error's own message, which could quote the text.
    detail = f"the model fails on this message ({type(error).__name__}), and reads others"
    entry.message, entry.rejection = None, RecordError("unscreenable", detail)


def _by_text(entries: Iterable[Entry]) -> dict[str, list[Entry]]:
    texts: dict[str, list[Entry]] = {}
    for entry in entries:
        if entry.message is not None:
            texts.setdefault(entry.message.text, []).append(entry)
    return texts
