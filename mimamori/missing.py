"""How many of the people at risk are missed now: estimated from what people decided about cases.

    labels      of the range: how many messages were cleared, and how many escalated
    cases       which of them a person was asked about: every escalation, a random sample of the cleared ones
    decisions   what people found

Of the cleared messages only the samples are known, and each stands for as many as there are cleared messages
for one decided sample. So the share of cleared messages at risk has an exact interval (Clopper and Pearson),
and the miss rate (of the messages at risk, the share that was cleared) one that holds at least as often as it
says.
"""

from collections import Counter
from collections.abc import Iterable
from datetime import datetime
from typing import Final, NamedTuple

import msgspec

from engine.errors import TaskError
from export.comparing.weighted import Rate, Stratum, miss_rate
from export.evaluating.intervals import Interval, share
from mimamori.comparing.decided import Decided, Within
from schemas.events import Label, Origin

FEWEST: Final = 30  # decided quality samples, below which nothing is concluded
_FAIR: Final = 0.9  # of a kind of cases, decided: below it, which ones are decided matters
_MOST: Final = 10_000_000  # decisions; who needs more needs another way


class Found(msgspec.Struct, frozen=True):
    """One kind of messages: how many there are, how many cases of them, and what people found."""

    messages: int
    cases: int
    at_risk: int
    not_at_risk: int
    unsure: int

    @property
    def judged(self) -> int:
        """How many decisions count."""
        return self.at_risk + self.not_at_risk


class MissRateReport(msgspec.Struct, frozen=True):
    """What the decisions on a range of labels say. Intervals are of 95 %.

    `at_risk_among_clear` is the share of cleared messages that people would find at risk, and `miss_rate` the
    share of all messages at risk that was cleared. They are None where they cannot be told. `needed` is how
    many more decided quality samples would bring the miss rate's interval to ± `within`, if they were like
    those decided; None where no number would.
    """

    task: str
    labels: int
    cleared: Found
    escalated: Found
    at_risk_among_clear: Rate | None
    miss_rate: Rate | None
    bound: float | None
    within: float
    needed: int | None
    left_out: dict[str, int]
    said: tuple[str, ...]


class Labels(NamedTuple):
    """A range of labels: each message's verdict, whether it became a sample, and the bound they state."""

    task: str
    cleared: dict[Origin, bool]
    escalated: set[Origin]
    bound: float | None
    within: Within
    first: datetime


def tally(labels: Iterable[Label], task: str | None, left_out: Counter[str]) -> Labels:
    """Count the labels of a task, each message's once.

    Only messages of the topic that most of them are of are counted.

    Raises TaskError: there are none, or `task` is None and they are of several tasks.
    """
    kept = [label for label in labels if task in {None, label.task}]
    tasks = sorted({label.task for label in kept})
    if len(tasks) != 1:
        raise TaskError(
            f"the labels are of several tasks, {', '.join(tasks)}: choose one with --task"
            if tasks
            else "there is no label to count: see --labels and --task"
        )
    ((topic, _),) = Counter(label.origin.topic for label in kept).most_common(1)
    cleared: dict[Origin, bool] = {}
    escalated: set[Origin] = set()
    bounds: Counter[float | None] = Counter()
    for label in kept:
        if label.origin.topic != topic:
            left_out[f"labels of messages of another topic ({label.origin.topic})"] += 1
        elif label.origin in cleared or label.origin in escalated:
            left_out["repeated labels"] += 1
        elif label.verdict == "clear":
            cleared[label.origin] = "quality_sample" in label.reasons
        else:
            escalated.add(label.origin)
        bounds[getattr(label.thresholds, "max_miss_rate", None)] += 1
    spans: dict[int, tuple[int, int]] = {}
    for origin in (*cleared, *escalated):
        low, high = spans.get(origin.partition, (origin.offset, origin.offset + 1))
        spans[origin.partition] = min(low, origin.offset), max(high, origin.offset + 1)
    first = min(label.screened_at for label in kept)
    return Labels(tasks[0], cleared, escalated, bounds.most_common(1)[0][0], Within(topic, spans), first)


def estimate(
    labels: Labels, decided: dict[Origin, Decided], left_out: Counter[str], bound: float | None, within: float
) -> MissRateReport:
    """Estimate the miss rate. `bound` replaces the one that the labels state."""
    findings = {"cleared": Counter[str](), "escalated": Counter[str]()}
    for origin, decision in decided.items():
        if origin in labels.escalated:
            findings["escalated"][decision.finding] += 1
        elif labels.cleared.get(origin):
            findings["cleared"][decision.finding] += 1
        else:
            left_out["decisions on messages without a label here"] += 1
    samples = sum(labels.cleared.values())
    cleared = _found(len(labels.cleared), samples, findings["cleared"])
    escalated = _found(len(labels.escalated), len(labels.escalated), findings["escalated"])
    rate = _rate(cleared, escalated, 1)
    among = (
        Rate(cleared.at_risk / cleared.judged, share(cleared.at_risk, cleared.judged))
        if cleared.judged
        else None
    )
    bound = labels.bound if bound is None else bound
    more = _needed(cleared, escalated, within)
    return MissRateReport(
        labels.task,
        len(labels.cleared) + len(labels.escalated),
        cleared,
        escalated,
        among,
        rate,
        bound,
        within,
        more,
        dict(+left_out),
        tuple(_said(cleared, escalated, rate, bound, within, more)),
    )


def _found(messages: int, cases: int, findings: Counter[str]) -> Found:
    return Found(messages, cases, findings["at_risk"], findings["not_at_risk"], findings["unsure"])


def _rate(cleared: Found, escalated: Found, times: float) -> Rate | None:
    """The miss rate; with `times` as many decided samples that are like those decided."""
    judged, missed = round(cleared.judged * times), round(cleared.at_risk * times)
    return miss_rate(
        [
            Stratum(escalated.messages, escalated.judged, None, escalated.at_risk),
            Stratum(max(cleared.messages, judged), judged, missed, None),
        ]
    )


def _needed(cleared: Found, escalated: Found, within: float) -> int | None:
    """How many more decided samples bring the interval to ± `within`."""
    if not cleared.judged or _rate(cleared, escalated, 1) is None:
        return None
    times = 1.0
    while _half(_rate(cleared, escalated, times)) > within:
        times *= 1.25
        if cleared.judged * times > min(_MOST, max(1, cleared.messages)):
            return None
    return round(cleared.judged * times) - cleared.judged


def _half(rate: Rate | None) -> float:
    return 1.0 if rate is None else (rate.interval.high - rate.interval.low) / 2


def _said(
    cleared: Found,
    escalated: Found,
    rate: Rate | None,
    bound: float | None,
    within: float,
    more: int | None,
) -> list[str]:
    said = []
    if cleared.judged < FEWEST or rate is None:
        said.append(
            f"Nothing is concluded from {cleared.judged} decided quality samples: that takes {FEWEST} or "
            "more, and decided escalations. Have the samples worked, or raise MIMAMORI_QUALITY_SAMPLE_SHARE."
        )
    else:
        said.append(
            f"Of the messages at risk, {rate.value:.1%} are missed (from {rate.interval.low:.1%} to "
            f"{rate.interval.high:.1%})."
        )
        if bound is not None:
            said.append(_against(rate.interval, bound))
    if more:
        said.append(f"About {more:,} more decided quality samples would bring this to ± {within:.0%}.")
    elif more is None and cleared.judged:
        said.append(
            f"No number of samples of this range brings it to ± {within:.0%}: take more labels (--last)."
        )
    for name, found in (("quality samples", cleared), ("escalations", escalated)):
        if found.cases and found.judged + found.unsure < _FAIR * found.cases:
            said.append(
                f"{found.judged + found.unsure} of {found.cases} {name} are decided. The most urgent are "
                "decided first, so that the estimate leans to what looked urgent."
            )
    return said


def _against(interval: Interval, bound: float) -> str:
    if interval.low > bound:
        return f"The bound of {bound:.1%} does not hold: label messages of today, and calibrate again."
    if interval.high <= bound:
        return f"The bound of {bound:.1%} holds."
    return f"Whether the bound of {bound:.1%} holds cannot be told yet: the interval reaches to both sides."
