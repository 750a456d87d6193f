"""Puts the figures together, from the cases that were settled lately and the queue as it is. Pure."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from datetime import date, datetime, timedelta
from statistics import quantiles
from typing import Final

import msgspec

from review.cases.remains import Summary
from review.cases.state import Judgement
from review.figures.agreement import Interval, kappa, share
from review.queue.answers import Backlog
from schemas.vocabulary import Finding

FEWEST: Final = 30  # cases, below which a share is shown, and nothing is concluded
_TENTHS: Final = 10


class Day(msgspec.Struct, frozen=True):
    """What was decided on one day (UTC), by finding."""

    day: date
    findings: dict[str, int]


class Speed(msgspec.Struct, frozen=True):
    """From when messages of one level were sent until the first decision on them, in seconds.

    `level` is the model's, None where it named none: then the kind of case says what they are.
    """

    task: str
    kind: str
    level: str | None
    cases: int
    median: float
    ninth_tenth: float


class Golden(msgspec.Struct, frozen=True):
    """What one reader found on cases whose answer is known."""

    reader: str
    right: int
    of: int


class Figures(msgspec.Struct, frozen=True):
    """Everything the page shows. A figure is None where there is nothing to take it from.

    `agreement` is between the first two readers of the same case. `samples_at_risk` is the share at risk
    among the cleared messages that people looked at: what the model misses, per cleared message.
    `escalations_at_risk` is the share of escalated messages that people find at risk. In these, and of
    `golden` items, only what somebody found the first time counts: they see the model's view afterwards.
    """

    days: list[Day]
    speeds: list[Speed]
    backlog: list[Backlog]
    agreement: Interval | None
    disagreed: int
    samples_at_risk: Interval | None
    escalations_at_risk: Interval | None
    golden: list[Golden]


def figures(
    settled: Iterable[Summary],
    backlog: list[Backlog],
    now: datetime,
    *,
    days: int,
    answers: Mapping[str, Finding],
) -> Figures:
    """The figures of the last `days`. `answers` are the known findings of golden items, by item."""
    since = now - timedelta(days=days)
    lately = [case for case in settled if case.judgements and _first(case).decided_at >= since]
    usual = [case for case in lately if case.kind != "golden"]
    pairs = [pair for case in usual if (pair := _pair(case)) is not None]
    return Figures(
        days=_days(usual, since, now),
        speeds=_speeds(usual),
        backlog=backlog,
        agreement=kappa(pairs),
        disagreed=sum(one != other for one, other in pairs),
        samples_at_risk=_at_risk(case for case in usual if case.kind == "quality_sample"),
        escalations_at_risk=_at_risk(case for case in usual if case.kind == "escalation"),
        golden=_golden(lately, answers),
    )


def _first(case: Summary) -> Judgement:
    return case.judgements[0]


def _unaided(case: Summary) -> Iterator[Judgement]:
    """What each reader found before the model's view was shown to them: their first judgement."""
    readers: set[str] = set()
    for judged in case.judgements:
        if judged.reader not in readers:
            yield judged
        readers.add(judged.reader)


def _standing(case: Summary) -> Judgement:
    """What stands, or else was found last, of what was found unaided."""
    unaided = list(_unaided(case))
    return next((each for each in reversed(unaided) if each.published), unaided[-1])


def _pair(case: Summary) -> tuple[str, str] | None:
    """What the first two different readers found."""
    first = case.judgements[0]
    other = next((each for each in case.judgements[1:] if each.reader != first.reader), None)
    return None if other is None else (first.finding, other.finding)


def _days(cases: list[Summary], since: datetime, now: datetime) -> list[Day]:
    found: defaultdict[date, Counter[str]] = defaultdict(Counter)
    for case in cases:
        for judged in case.judgements:
            if judged.decided_at >= since:
                found[judged.decided_at.date()][judged.finding] += 1
    first = since.date() + timedelta(days=1)
    span = (now.date() - first).days + 1
    return [Day(day, dict(found[day])) for day in (first + timedelta(days=n) for n in range(span))]


def _speeds(cases: list[Summary]) -> list[Speed]:
    waited: defaultdict[tuple[str, str, str | None], list[float]] = defaultdict(list)
    for case in cases:
        if case.kind != "quality_sample":
            seconds = max(0.0, (_first(case).decided_at - case.since).total_seconds())
            waited[case.task, case.kind, case.guess].append(seconds)
    return [
        Speed(*lane, len(waited[lane]), *_quantiles(waited[lane]))
        for lane in sorted(waited, key=lambda lane: (lane[0], lane[1], lane[2] or ""))
    ]


def _quantiles(times: list[float]) -> tuple[float, float]:
    """The median and the ninth tenth."""
    if len(times) == 1:
        return times[0], times[0]
    tenths = quantiles(times, n=_TENTHS, method="inclusive")
    return tenths[4], tenths[8]


def _at_risk(cases: Iterable[Summary]) -> Interval | None:
    judged = [found for case in cases if (found := _standing(case).finding) != "unsure"]
    return share(sum(found == "at_risk" for found in judged), len(judged))


def _golden(cases: list[Summary], answers: Mapping[str, Finding]) -> list[Golden]:
    right: Counter[str] = Counter()
    of: Counter[str] = Counter()
    # Whoever meets an item a second time has learned meanwhile that it is one.
    met: set[tuple[str, str]] = set()
    for case in sorted(cases, key=lambda case: _first(case).decided_at):
        known, first = answers.get(case.golden or ""), _first(case)
        if known is not None and (first.reader, case.golden or "") not in met:
            met.add((first.reader, case.golden or ""))
            of[first.reader] += 1
            right[first.reader] += first.finding == known
    return [Golden(reader, right[reader], of[reader]) for reader in sorted(of)]
