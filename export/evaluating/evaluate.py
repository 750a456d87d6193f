"""Measures an engine on labelled examples: which of them it would clear, leave uncertain or escalate.

Nothing is fitted here. On the examples that a bundle was adapted on, the figures are too good;
`seen_at_adapt` tells whether that is so.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import (
    cohen_kappa_score,
    confusion_matrix,
    f1_score,
    precision_recall_fscore_support,
    roc_auc_score,
)

from engine.bundle import Bundle
from engine.contract import Engine
from engine.errors import TaskError
from engine.policy import verdict
from engine.scores import Scores
from engine.task import Task
from export.adapting.adapt import examples_digest
from export.examples import LabelledExample
from export.rate import BATCH, messages_per_second
from schemas.events import Thresholds
from schemas.vocabulary import Verdict

_BATCH: Final = 64
_VERDICTS: Final[tuple[Verdict, ...]] = ("clear", "uncertain", "at_risk")


class Flagging(msgspec.Struct, frozen=True):
    """How well one rule for calling a message positive detects the class at risk."""

    precision: float
    recall: float
    f1: float


class SeverityReport(msgspec.Struct, frozen=True):
    """The severity stage, on the examples with a level. `confusion` [true][most probable], least first.

    `kappa` is Cohen's kappa with quadratic weights: an error of two levels costs as much as four of one.
    """

    examples: int
    macro_f1: float
    kappa: float
    confusion: list[list[int]]


class Report(msgspec.Struct, frozen=True):
    """The figures that `evaluate` measured. A figure is None where the examples it needs are absent.

    `states` says in words what bound `calibrate` stated of these thresholds, None where it stated none.

    `confusion` [not at risk, at risk][clear, uncertain, at_risk] counts messages. `miss_rate` is the share of
    those at risk that were cleared, `alarm_rate` the share of the others that were at_risk. `depths` counts
    the examples by how many layers of the network were read to decide.
    """

    runs: str
    scored_by: str
    reading: str
    thresholds: Thresholds
    states: str | None
    seen_at_adapt: bool
    examples: int
    positives: int
    messages_per_second: float
    auc: float | None
    even_odds: Flagging
    not_clear: Flagging
    at_risk: Flagging
    miss_rate: float | None
    alarm_rate: float | None
    confusion: list[list[int]]
    severity: SeverityReport | None
    depths: dict[int, int] = {}


def evaluate(
    engine: Engine,
    bundle: Bundle,
    examples: Sequence[LabelledExample],
    progress: Callable[[int, int], None] = lambda *_: None,
    *,
    lower: float | None = None,
    upper: float | None = None,
) -> Report:
    """Score `examples` by the engine of `bundle` and count the verdicts.

    The thresholds are those that a worker would use: `lower` and `upper` where they are given, else the
    bundle's. As at run time, a message that is truncated, obfuscated or in another language is never clear.
    `progress` gets how many examples were read, and the total.

    Raises TaskError: there are no examples. BundleError: the bundle's thresholds were fitted on other scores.
    SettingsError: `lower` is above the upper threshold.
    """
    if not examples:
        raise TaskError("no labelled examples to evaluate on: give a JSONL file with at least one line")
    thresholds = bundle.thresholds_for(engine.identity, lower, upper)
    labels = np.array([example.at_risk for example in examples], np.int64)
    texts = [example.text for example in examples]
    scores = _read(engine, texts, progress)
    rate = messages_per_second(engine, texts[:: -(-len(texts) // BATCH)])
    risks = np.array([each.risk for each in scores])
    verdicts = np.array([_verdict(each, thresholds) for each in scores], np.int64)
    confusion = confusion_matrix(2 * labels, verdicts, labels=[0, 1, 2])[[0, 2]]
    positives = int(labels.sum())
    negatives = len(labels) - positives
    return Report(
        runs=engine.describe(),
        scored_by=engine.identity.name,
        reading=engine.reading,
        thresholds=thresholds,
        states=None if (said := bundle.statement_of(thresholds)) is None else str(said),
        seen_at_adapt=(fitted := bundle.calibration) is not None
        and fitted.has_seen(examples_digest(examples)),
        examples=len(labels),
        positives=positives,
        messages_per_second=rate,
        auc=float(roc_auc_score(labels, risks)) if positives and negatives else None,
        even_odds=_flagging(labels, risks >= 0.5),  # noqa: PLR2004 - even odds
        not_clear=_flagging(labels, verdicts > 0),
        at_risk=_flagging(labels, verdicts > 1),
        miss_rate=float(confusion[1, 0] / positives) if positives else None,
        alarm_rate=float(confusion[0, 2] / negatives) if negatives else None,
        confusion=confusion.tolist(),
        severity=_severity(bundle.manifest.task, examples, scores),
        depths=dict(sorted(Counter(each.depth for each in scores if each.depth is not None).items())),
    )


def _read(engine: Engine, texts: Sequence[str], progress: Callable[[int, int], None]) -> list[Scores]:
    """Score the texts in batches, with severity in both readings."""
    scores: list[Scores] = []
    for start in range(0, len(texts), _BATCH):
        batch = texts[start : start + _BATCH]
        read = engine.read(batch)
        if engine.reading == "prompted":
            graded = engine.grade(batch)
            read = [
                msgspec.structs.replace(each, severity=grades)
                for each, grades in zip(read, graded, strict=True)
            ]
        scores += read
        progress(len(scores), len(texts))
    return scores


def _verdict(scores: Scores, thresholds: Thresholds) -> int:
    """Return the verdict as an index into clear, uncertain, at_risk."""
    ruled = _VERDICTS.index(verdict(scores.risk, thresholds))
    return max(ruled, 1) if scores.truncated or scores.obfuscated or scores.language else ruled


def _flagging(labels: NDArray[np.int64], flagged: NDArray[np.bool_]) -> Flagging:
    precision, recall, f1, _ = precision_recall_fscore_support(
        labels, flagged.astype(np.int64), labels=[0, 1], zero_division=0.0
    )
    return Flagging(float(precision[1]), float(recall[1]), float(f1[1]))


def _severity(
    task: Task, examples: Sequence[LabelledExample], scores: Sequence[Scores]
) -> SeverityReport | None:
    levels = {name: index for index, name in enumerate(task.level_names)}
    pairs = [
        (levels[example.severity], int(np.argmax(each.severity)))
        for example, each in zip(examples, scores, strict=True)
        if example.severity is not None and each.severity is not None
    ]
    if not pairs:
        return None
    true, guessed = zip(*pairs, strict=True)
    columns = list(levels.values())
    # Kappa divides by the disagreement expected by chance, which is zero here.
    same = len({*true, *guessed}) == 1
    return SeverityReport(
        examples=len(pairs),
        macro_f1=float(f1_score(true, guessed, average="macro", zero_division=0.0)),
        kappa=1.0 if same else float(cohen_kappa_score(true, guessed, labels=columns, weights="quadratic")),
        confusion=confusion_matrix(true, guessed, labels=columns).tolist(),
    )
