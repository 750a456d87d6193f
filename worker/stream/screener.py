"""Station 2: gives every message of a batch its scores: the risk, and severity where the policy needs it.

It gives no verdicts (see `policy.py`) and drops no messages. The messages of each pipeline are read together,
one pipeline after the other. Identical texts of these are read once. A text that the engine fails on, while
it reads others, is rejected (see `bisection.py`). Where only the severity of a text fails, the message keeps
its risk, and comes first in the review queue.
"""

from collections.abc import Iterable
from typing import NamedTuple

import msgspec

from engine.scores import UNGRADABLE, Scores
from worker.errors import RecordError
from worker.stream.batch import Batch, Entry
from worker.stream.bisection import CONTROL, read_in_halves, require_some
from worker.stream.pipeline import Pipeline
from worker.stream.routing import Routing


class Screener:
    """Scores messages with the engines of their pipelines, whose policies say who needs a severity."""

    def __init__(self, routing: Routing) -> None:
        self._routing = routing

    def screen(self, batch: Batch) -> None:
        """Set `scores`, or else `rejection`, on every entry that has a message.

        Raises what an engine raises (DeviceError) where it can no longer read anything.
        """
        apart = self._routing.apart(batch.entries)
        fresh = {pipeline: _read(pipeline, entries) for pipeline, entries in apart.items()}
        _require_some(fresh.values())
        graded = {pipeline: _grade(pipeline, entries) for pipeline, entries in apart.items()}
        _require_some(graded.values())
        for pipeline in apart:
            scores = fresh[pipeline].scores | graded[pipeline].scores
            if scores:
                pipeline.cache.store(list(scores), list(scores.values()))

    def prove(self) -> None:
        """Read a control text with every engine, and raise what one raises.

        Called before a message is read alone, so that a device that is gone is not blamed on the message.
        """
        for pipeline in self._routing.pipelines:
            pipeline.engine.read([CONTROL])


class _Stage(NamedTuple):
    """What one stage found of the texts of one pipeline that it had to read."""

    scores: dict[str, Scores]
    read: int
    refused: list[Exception]


def _require_some(stages: Iterable[_Stage]) -> None:
    found = list(stages)
    require_some(sum(stage.read for stage in found), [each for stage in found for each in stage.refused])


def _read(pipeline: Pipeline, entries: Iterable[Entry]) -> _Stage:
    """The risk stage, for texts that are not cached. In the pooled reading, severity comes with it."""
    unread = _by_text(entry for entry in entries if entry.message and entry.scores is None)
    scores, refused = read_in_halves(pipeline.engine.read, list(unread))
    for text, same in unread.items():
        for entry in same:
            if text in refused:
                _reject(entry, refused[text])
            else:
                entry.scores = scores[text]
    return _Stage(scores, len(scores), list(refused.values()))


def _grade(pipeline: Pipeline, entries: Iterable[Entry]) -> _Stage:
    """The severity stage, for messages that will not be clear and have no severity yet."""
    ungraded = _by_text(entry for entry in entries if _lacks_severity(pipeline, entry))
    severities, refused = read_in_halves(pipeline.engine.grade, list(ungraded))
    graded: dict[str, Scores] = {}
    for text, same in ungraded.items():
        severity = severities.get(text, UNGRADABLE)
        for entry in same:
            if entry.scores is not None:
                entry.scores = graded[text] = msgspec.structs.replace(entry.scores, severity=severity)
    return _Stage(graded, len(severities), list(refused.values()))


def _lacks_severity(pipeline: Pipeline, entry: Entry) -> bool:
    if entry.message is None or entry.scores is None or entry.scores.severity is not None:
        return False
    return pipeline.policy.needs_severity(entry.reading or entry.scores, entry.message.language)


def _reject(entry: Entry, error: Exception) -> None:
    # Leave out the error's own message, which could quote the text.
    detail = f"the model fails on this message ({type(error).__name__}), and reads others"
    entry.unread, entry.message, entry.rejection = entry.message, None, RecordError("unscreenable", detail)


def _by_text(entries: Iterable[Entry]) -> dict[str, list[Entry]]:
    texts: dict[str, list[Entry]] = {}
    for entry in entries:
        if entry.message is not None:
            texts.setdefault(entry.message.text, []).append(entry)
    return texts
