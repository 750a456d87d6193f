"""Measures an engine on labelled examples: which of them it would clear, leave uncertain or escalate.

Nothing is fitted here. On the examples that a bundle was adapted on, the figures are too good;
`seen_at_adapt` tells whether that is so. A message that got no finite score was screened by nobody: it counts
as `unanswered`, comes to a person, and is clear in no figure.
"""

import datetime as dt
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Final

import msgspec
import numpy as np
from sklearn.metrics import confusion_matrix

from engine.bundle import Bundle
from engine.contract import Engine
from engine.errors import TaskError
from engine.policy import Policy, primary_language
from engine.scores import Scores
from engine.task import Task
from export.adapting.adapt import examples_digest
from export.evaluating.figures import EVEN_ODDS, Labels, answered, area, backwards, flagging
from export.evaluating.intervals import share
from export.evaluating.reliability import reliability
from export.evaluating.report import VERSION, Asked, Report
from export.evaluating.severity import severity_report
from export.evaluating.slices import by_length, slices
from export.evaluating.workload import cost, curve, workload
from export.evaluating.worst import worst
from export.examples import LabelledExample
from export.rate import BATCH, messages_per_second
from schemas.events import Thresholds
from schemas.vocabulary import Verdict

_BATCH: Final = 64
_LIKE: Final = 0.8  # shares at risk that are nearer to one another count as alike
_VERDICTS: Final[tuple[Verdict, ...]] = ("clear", "uncertain", "at_risk")


def evaluate(
    engine: Engine,
    bundle: Bundle,
    examples: Sequence[LabelledExample],
    progress: Callable[[int, int], None] = lambda *_: None,
    *,
    lower: float | None = None,
    upper: float | None = None,
    asked: Asked | None = None,
) -> Report:
    """Score `examples` by the engine of `bundle` and count the verdicts: `score`, then `judge`."""
    scores = score(engine, examples, progress)
    return judge(engine, bundle, examples, scores, lower=lower, upper=upper, asked=asked)


def score(
    engine: Engine,
    examples: Sequence[LabelledExample],
    progress: Callable[[int, int], None] = lambda *_: None,
) -> list[Scores]:
    """The scores of each example in order, with severity in both readings.

    `progress` gets how many examples were read, and the total. Raises TaskError: there are no examples.
    """
    if not examples:
        raise TaskError("no labelled examples to evaluate on: give a file with at least one row")
    scores: list[Scores] = []
    for start in range(0, len(examples), _BATCH):
        batch = [example.text for example in examples[start : start + _BATCH]]
        read = engine.read(batch)
        if engine.reading == "prompted":
            graded = engine.grade(batch)
            read = [
                msgspec.structs.replace(each, severity=grades)
                for each, grades in zip(read, graded, strict=True)
            ]
        scores += read
        progress(len(scores), len(examples))
    return scores


def judge(
    engine: Engine,
    bundle: Bundle,
    examples: Sequence[LabelledExample],
    scores: Sequence[Scores],
    *,
    lower: float | None = None,
    upper: float | None = None,
    asked: Asked | None = None,
    data: str = "",
    places: Sequence[str] | None = None,
    columns: Mapping[str, Sequence[str | None]] = MappingProxyType({}),
    notes: Sequence[str] = (),
) -> Report:
    """Rule on examples by their scores, and count. The engine is timed on them.

    The thresholds are those that a worker would use: `lower` and `upper` where they are given, else the
    bundle's. As at run time, a message that is truncated, obfuscated or in another language is never clear.
    `data` names the file, `places` [N] each example's row, and `columns` hold values [N] to slice by.

    Raises BundleError: the bundle's thresholds were fitted on other scores. SettingsError: `lower` is above
    the upper threshold.
    """
    asked = asked or Asked()
    task = bundle.manifest.task
    thresholds = bundle.thresholds_for(engine.identity, lower, upper)
    labels = np.array([example.at_risk for example in examples], np.int64)
    texts = [example.text for example in examples]
    rate = messages_per_second(engine, texts[:: -(-len(texts) // BATCH)])
    known = np.array([each.risk for each in scores])
    risks, unanswered = answered(known), ~np.isfinite(known)
    # Ruled at 0 the verdict is clear unless something else about the message forbids it.
    riskless = [msgspec.structs.replace(each, risk=0.0) for each in scores]
    doubted = unanswered | (_verdicts(examples, riskless, task) > 0)
    verdicts = _verdicts(examples, scores, task, thresholds)
    cleared = verdicts == 0
    confusion = confusion_matrix(2 * labels, verdicts, labels=[0, 1, 2])[[0, 2]]
    positives = int(labels.sum())
    negatives = len(labels) - positives
    missed, alarms = int(confusion[1, 0]), int(confusion[0, 2])
    auc = area(labels, risks, asked.seed)
    samples = task.policy.quality_sample_share
    rates = [None] if asked.prevalence is None else [None, asked.prevalence]
    calibration = bundle.calibration
    statement = None if calibration is None else calibration.statement
    stated_for = None if statement is None else statement.share.prevalence
    return Report(
        version=VERSION,
        made=dt.datetime.now(dt.UTC).replace(microsecond=0),
        task=task.name,
        model=bundle.manifest.source.name,
        bundle=bundle.fingerprint,
        data=data,
        digest=examples_digest(examples),
        runs=engine.describe(),
        scored_by=engine.identity.name,
        reading=engine.reading,
        thresholds=thresholds,
        states=None if (said := bundle.statement_of(thresholds)) is None else str(said),
        seen_at_adapt=(fitted := bundle.calibration) is not None
        and fitted.has_seen(examples_digest(examples)),
        examples=len(labels),
        positives=positives,
        unanswered=int(unanswered.sum()),
        messages_per_second=rate,
        auc=None if auc is None else auc[0],
        auc_interval=None if auc is None else auc[1],
        even_odds=flagging(labels, risks >= EVEN_ODDS, asked.seed),
        not_clear=flagging(labels, ~cleared, asked.seed),
        at_risk=flagging(labels, verdicts > 1, asked.seed),
        miss_rate=missed / positives if positives else None,
        miss_rate_interval=share(missed, positives) if positives else None,
        alarm_rate=alarms / negatives if negatives else None,
        alarm_rate_interval=share(alarms, negatives) if negatives else None,
        confusion=confusion.tolist(),
        tolerated_miss_rate=task.policy.tolerated_miss_rate
        if bundle.calibration is None
        else bundle.calibration.tolerated_miss_rate,
        levels=task.level_names,
        severity=severity_report(task, examples, scores, cleared, asked.seed),
        slices=slices(_columns(examples, scores, columns), labels, cleared),
        workload=tuple(
            made
            for prevalence in rates
            if (made := workload(labels, cleared, prevalence, samples, asked.seed)) is not None
        ),
        cost=cost(rate, asked.cost_per_hour),
        curve=curve(labels, risks, doubted, asked.prevalence, samples),
        reliability=reliability(labels[~unanswered], risks[~unanswered], asked.seed, prevalence=stated_for)
        if not unanswered.all()
        else None,
        worst=worst(
            examples,
            places or [f"example {number}" for number in range(1, len(examples) + 1)],
            scores,
            labels,
            risks,
            cleared,
            verdicts > 1,
            task.level_names,
            show_text=asked.show_text,
        ),
        seed=asked.seed,
        notes=(*notes, *filter(None, [auc and backwards(*auc), _elsewhere(stated_for, labels)])),
        depths=dict(sorted(Counter(each.depth for each in scores if each.depth is not None).items())),
    )


def _elsewhere(stated_for: float | None, labels: Labels) -> str | None:
    """What a reader must know of risks that are stated for another share at risk than the file's."""
    own = float(labels.mean())
    if stated_for is None or own in {0.0, 1.0} or _LIKE < (stated_for / own) < 1 / _LIKE:
        return None
    return (
        f"The bundle's risks are stated for a stream of which {stated_for:.1%} are at risk; of this file "
        f"{own:.1%} are. So even odds (risk >= 0.5) mean another risk here, and F1 at even odds says little. "
        "No verdict changes by that."
    )


def _verdicts(
    examples: Sequence[LabelledExample],
    scores: Sequence[Scores],
    task: Task,
    thresholds: Thresholds | None = None,
) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """The verdict of each example [N] by the worker's policy, as an index into clear, uncertain, at_risk."""
    languages = frozenset(map(primary_language, task.languages))
    policy = Policy(thresholds or Thresholds(0.5, 0.5, ""), 0.0, languages)
    ruled = [policy.rule(each, example.language, "") for example, each in zip(examples, scores, strict=True)]
    return np.array([_VERDICTS.index(ruling.verdict) for ruling in ruled], np.int64)


def _columns(
    examples: Sequence[LabelledExample],
    scores: Sequence[Scores],
    columns: Mapping[str, Sequence[str | None]],
) -> dict[str, Sequence[str | None]]:
    """The columns to slice by: length, the language as stated or else as detected, and the given ones."""
    found: dict[str, Sequence[str | None]] = {"length": by_length([example.text for example in examples])}
    stated = [example.language for example in examples]
    if any(stated):
        found["language"] = stated
    elif any(each.language for each in scores):
        found["language"] = [each.language or "the task's, or not sure" for each in scores]
    return found | dict(columns)
