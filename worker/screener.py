"""Station 2: give every message of a batch its scores. Risk first; severity where the policy needs it.

It decides nothing (that is `policy.py`) and drops nothing. Identical texts of a batch are read once.
"""

from collections.abc import Iterable

import msgspec

from worker.batch import Batch, Entry
from worker.cache import ScoreCache
from worker.engine import Engine
from worker.policy import Policy
from worker.scores import Scores


class Screener:
    """The engine, the policy that says who needs a severity, and the cache that remembers."""

    def __init__(self, engine: Engine, policy: Policy, cache: ScoreCache) -> None:
        self._engine = engine
        self._policy = policy
        self._cache = cache

    def screen(self, batch: Batch) -> None:
        """Set `scores` on every entry that has a message. Raises DeviceError where the model fails."""
        fresh = self._read(batch)
        fresh |= self._grade(batch)
        if fresh:
            self._cache.store(list(fresh), list(fresh.values()))

    def _read(self, batch: Batch) -> dict[str, Scores]:
        """The risk stage, for what the cache did not know; in the pooled reading severity comes with it."""
        unread = _by_text(entry for entry in batch.entries if entry.message and entry.scores is None)
        scores = dict(zip(unread, self._engine.read(list(unread)), strict=True)) if unread else {}
        for text, entries in unread.items():
            for entry in entries:
                entry.scores = scores[text]
        return scores

    def _grade(self, batch: Batch) -> dict[str, Scores]:
        """The severity stage, for what will not be clear and has no severity yet."""
        ungraded = _by_text(entry for entry in batch.entries if self._lacks_severity(entry))
        severities = self._engine.grade(list(ungraded)) if ungraded else []
        graded: dict[str, Scores] = {}
        for (text, entries), severity in zip(ungraded.items(), severities, strict=True):
            for entry in entries:
                if entry.scores is not None:
                    entry.scores = graded[text] = msgspec.structs.replace(entry.scores, severity=severity)
        return graded

    def _lacks_severity(self, entry: Entry) -> bool:
        if entry.message is None or entry.scores is None or entry.scores.severity is not None:
            return False
        return self._policy.needs_severity(entry.scores, entry.message.language)


def _by_text(entries: Iterable[Entry]) -> dict[str, list[Entry]]:
    texts: dict[str, list[Entry]] = {}
    for entry in entries:
        if entry.message is not None:
            texts.setdefault(entry.message.text, []).append(entry)
    return texts
