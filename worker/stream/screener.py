"""Station 2: give every message of a batch its scores. Risk first; severity where the policy needs it.

It decides nothing (that is `policy.py`) and drops nothing. Identical texts of a batch are read once. A text
that the engine fails on, when it reads others, is rejected (see `bisection.py`); one of which only the
severity fails keeps its risk, and goes to people before the others.
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
    """The engine, the policy that says who needs a severity, and the cache that remembers."""

    def __init__(self, engine: Engine, policy: Policy, cache: ScoreCache) -> None:
        self._engine = engine
        self._policy = policy
        self._cache = cache

    def screen(self, batch: Batch) -> None:
        """Set `scores`, or else `rejection`, on every entry that has a message.

        Raises what the engine raises (DeviceError) where it can read nothing any more.
        """
        fresh = self._read(batch)
        fresh |= self._grade(batch)
        if fresh:
            self._cache.store(list(fresh), list(fresh.values()))

    def prove(self) -> None:
        """Read a control text. Raises what the engine raises: a device that is gone accuses nobody."""
        self._engine.read([CONTROL])

    def _read(self, batch: Batch) -> dict[str, Scores]:
        """The risk stage, for what the cache did not know; in the pooled reading severity comes with it."""
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
        """The severity stage, for what will not be clear and has no severity yet."""
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
    # Not the error's own message: it could quote the text.
    detail = f"the model fails on this message ({type(error).__name__}), and reads others"
    entry.message, entry.rejection = None, RecordError("unscreenable", detail)


def _by_text(entries: Iterable[Entry]) -> dict[str, list[Entry]]:
    texts: dict[str, list[Entry]] = {}
    for entry in entries:
        if entry.message is not None:
            texts.setdefault(entry.message.text, []).append(entry)
    return texts
