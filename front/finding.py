"""What the worker's label would say of a text, in the label's words: the extension field of an answer."""

import math
from typing import Final

import msgspec

from engine.contract import Engine
from engine.policy import Policy
from engine.scores import Scores
from engine.task import Task
from front.texts import PLACE
from schemas.events import Highlight, Probability, Severity, Thresholds
from schemas.reasons import Reason
from schemas.vocabulary import Reading, Verdict
from worker.stream.batch import Entry
from worker.stream.outcome import severity_of

UNREAD: Final = Scores(
    math.nan, None, 0, truncated=True
)  # a text that the model fails on, while it reads others


class Finding(msgspec.Struct, frozen=True, gc=False):
    """What was found in one text. Fields that a label has mean the same as there.

    `escalate`: a worker would send the text to a person (every verdict but clear). Nobody is told by this
    front; the caller must. `highlights` are spans in code points.
    """

    task: str
    verdict: Verdict
    escalate: bool
    risk: Probability
    severity: Severity | None
    reasons: list[Reason]
    highlights: list[Highlight]
    thresholds: Thresholds
    reading: Reading
    bundle: str
    scored_by: str
    windows: int
    truncated: bool
    depth: int | None
    language: str | None


class Findings:
    """Rules on scored entries as the worker does, but draws no quality samples: nobody would see them."""

    def __init__(self, engine: Engine, policy: Policy, task: Task, fingerprint: str) -> None:
        """`fingerprint` is the bundle's."""
        self._policy = msgspec.structs.replace(policy, quality_sample_share=0.0)
        self._reading: Reading = engine.reading
        self._scored_by = engine.identity.name
        self._task = task
        self._fingerprint = fingerprint

    def of(self, entry: Entry) -> Finding:
        """What was found. A text that the model fails on is unscorable: uncertain, of risk 1.

        Raises ValueError: the entry was never read.
        """
        scores = UNREAD if entry.rejection is not None else entry.reading
        if scores is None:
            raise ValueError("an entry reached its answer without scores and without a rejection")
        ruling = self._policy.rule(scores, entry.message.language if entry.message else None, PLACE)
        return Finding(
            task=self._task.name,
            verdict=ruling.verdict,
            escalate=ruling.needs_review,
            risk=ruling.risk,
            severity=severity_of(self._task.level_names, scores.severity),
            reasons=ruling.reasons,
            highlights=list(scores.highlights or ()) if ruling.needs_review else [],
            thresholds=self._policy.thresholds,
            reading=self._reading,
            bundle=self._fingerprint,
            scored_by=self._scored_by,
            windows=scores.windows,
            truncated=scores.truncated,
            depth=scores.depth,
            language=scores.language,
        )
