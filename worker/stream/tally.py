"""Counts a committed batch: its labels, cases and dead letters, what their scores were, and how old they are.

Thousands of messages a second pass here, so that each thing is counted in one pass over all of them.
"""

import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from itertools import compress
from operator import attrgetter
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from schemas.events import DeadLetter, Label, ReviewCase, ShadowLabel
from schemas.vocabulary import Verdict
from worker.stream.batch import Batch
from worker.stream.outcome import Outcome
from worker.telemetry.drift import batch_of
from worker.telemetry.metrics import Metrics

OLDEST_S: Final = 30 * 86_400.0  # far longer than any sensible retention of messages
CLOCK_SKEW_S: Final = 60.0
_BUNDLE: Final = attrgetter("bundle")
_VERDICT: Final = attrgetter("verdict")
_WOULD_BE: Final = attrgetter("task", "bundle", "would_be")
_DEPTH: Final = attrgetter("depth")
_KIND: Final = attrgetter("kind")
_REASON: Final = attrgetter("reason")


def tally(metrics: Metrics, events: Sequence[Outcome], batch: Batch) -> None:
    """Count the outcomes of a batch that was committed just now."""
    of_kind: defaultdict[type[Outcome], list[Any]] = defaultdict(list)
    for event in events:
        of_kind[type(event)].append(event)
    if of_kind[Label]:
        _tally_labels(metrics, of_kind[Label], batch)
    for (task, bundle, would_be), found in Counter(map(_WOULD_BE, of_kind[ShadowLabel])).items():
        _tally_verdict(metrics, found, task, bundle, would_be)
    for kind, found in Counter(map(_KIND, of_kind[ReviewCase])).items():
        metrics.count("mimamori_review_cases_total", found, kind=kind)
    for reason, found in Counter(map(_REASON, of_kind[DeadLetter])).items():
        metrics.count("mimamori_dead_letters_total", found, reason=reason)
    if lost := sum(each.scores is not None and each.scores.highlights is None for each in batch.entries):
        metrics.count("mimamori_lost_highlights_total", lost)
    metrics.observe_all("mimamori_latency_seconds", _ages(batch, time.time()))


def _tally_labels(metrics: Metrics, labels: list[Label], batch: Batch) -> None:
    characters = [len(entry.message.text) for entry in batch.entries if entry.message is not None]
    bundles = dict.fromkeys(map(_BUNDLE, labels))
    for bundle in bundles:
        own, lengths = labels, characters
        if len(bundles) > 1:
            is_own = [label.bundle == bundle for label in labels]
            own, lengths = list(compress(labels, is_own)), list(compress(characters, is_own))
        for verdict, found in Counter(map(_VERDICT, own)).items():
            _tally_verdict(metrics, found, own[0].task, bundle, verdict)
        metrics.screened(bundle, batch_of(own, lengths))
    for depth, found in Counter(map(_DEPTH, labels)).items():
        said = "unknown" if depth is None else str(depth)
        metrics.count("mimamori_labels_by_depth_total", found, depth=said)


def _tally_verdict(metrics: Metrics, found: int, task: str, bundle: str, verdict: Verdict) -> None:
    metrics.count("mimamori_labels_total", found, verdict=verdict)
    metrics.count("mimamori_labels_by_bundle_total", found, task=task, bundle=bundle, verdict=verdict)


def _ages(batch: Batch, now: float) -> NDArray[np.float64]:
    """Seconds since each record's timestamp, without records whose timestamp cannot be right.

    A producer may set any timestamp, such as 0 or next year. One such age would outweigh a million true ones.
    """
    ages = now - np.array([entry.record.timestamp_ms for entry in batch.entries], np.float64) / 1000
    return np.maximum(ages[(ages <= OLDEST_S) & (ages >= -CLOCK_SKEW_S)], 0.0)
