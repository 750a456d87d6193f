"""What a bundle would do with the messages that people judged, and what that says of all messages."""

from typing import Final

import msgspec

from export.comparing.weighted import Rate, Stratum, miss_rate
from export.evaluating.intervals import Interval, share

_FAIR: Final = 0.9  # of a kind of cases, decided: below it, which ones are decided matters


class Judged(msgspec.Struct, frozen=True):
    """One kind of cases: those that were escalated, or the quality samples of what was cleared.

    `messages` of this kind there were in the range. People found `at_risk` of the `decided` to be at risk,
    NEW would clear `missed` of these; they dismissed `dismissed`, NEW would not clear `raised` of these.
    `unsure` counts neither way. The intervals are exact, of the shares of at_risk and dismissed.
    """

    messages: int
    decided: int
    at_risk: int
    missed: int
    dismissed: int
    raised: int
    unsure: int
    missed_interval: Interval | None = None
    raised_interval: Interval | None = None

    def with_intervals(self) -> "Judged":
        """The same with its intervals, where there is anything to count."""
        return msgspec.structs.replace(
            self,
            missed_interval=share(self.missed, self.at_risk) if self.at_risk else None,
            raised_interval=share(self.raised, self.dismissed) if self.dismissed else None,
        )


class Load(msgspec.Struct, frozen=True):
    """How many of the range's messages each bundle sends to people; OLD's as its labels say."""

    messages: int
    old: int | None
    new: int


def estimate(escalated: Judged, sampled: Judged) -> tuple[Rate | None, Rate | None]:
    """The miss rates of OLD and NEW over all messages, weighted by how many each decision stands for.

    OLD clears nothing that it escalated, and escalates nothing that it cleared.
    """
    judged = [kind.at_risk + kind.dismissed for kind in (escalated, sampled)]
    old = [
        Stratum(escalated.messages, judged[0], None, escalated.at_risk),
        Stratum(sampled.messages, judged[1], sampled.at_risk, None),
    ]
    new = [
        Stratum(kind.messages, of, kind.missed, kind.at_risk - kind.missed)
        for kind, of in zip((escalated, sampled), judged, strict=True)
    ]
    return miss_rate(old), miss_rate(new)


def conclude_judged(
    escalated: Judged, sampled: Judged, load: Load, old: Rate | None, new: Rate | None
) -> list[str]:
    """What may be concluded, one sentence each."""
    lost = f"{escalated.missed}{_span(escalated.missed, escalated.at_risk)}"
    said = [f"Of {escalated.at_risk} escalated messages that people found at risk, NEW would clear {lost}."]
    spared = escalated.dismissed - escalated.raised
    said.append(
        f"Of {escalated.dismissed} that people dismissed, NEW would still send {escalated.raised} to them"
        f"{_span(escalated.raised, escalated.dismissed)}, and spare them {spared}."
    )
    said.append(
        f"Of {sampled.at_risk + sampled.dismissed} quality samples, people found {sampled.at_risk} at risk "
        f"that OLD had cleared; NEW would find {sampled.at_risk - sampled.missed} of these."
    )
    before = "" if load.old is None else f" in place of {load.old} ({_share(load.old, load.messages)})"
    said.append(
        f"Of {load.messages} messages NEW would send {load.new} ({_share(load.new, load.messages)}) to "
        f"people{before}, quality samples not counted."
    )
    if new is None or old is None:
        said.append("The miss rate over all messages cannot be estimated: see below.")
    else:
        said.append(
            f"Estimated over all messages, of those at risk OLD misses {_rate(old)}, and NEW {_rate(new)}."
        )
    return said


def cannot_tell(escalated: Judged, sampled: Judged, share_of_samples: float | None) -> list[str]:
    """What these figures do not say, in plain words."""
    said = [
        "People saw only what OLD escalated, and a random sample of what it cleared.",
        "So the first figures show what NEW would lose of OLD's findings, and little of what it would add.",
        "A decision is a person's judgement, made beside OLD's verdict and severity: no independent truth.",
    ]
    judged = sampled.at_risk + sampled.dismissed
    if not judged:
        said.append(
            "No quality sample of the range was decided, so nothing is known of what both clear: set "
            "MIMAMORI_QUALITY_SAMPLE_SHARE, and have the samples worked."
        )
    elif share_of_samples:
        said.append(
            f"Each of the {judged} decided samples stands for {sampled.messages / judged:,.0f} cleared "
            f"messages ({share_of_samples:.2%} of them became samples): one person more or less among them "
            "moves the estimate by as much."
        )
    waiting = [
        name
        for name, kind, cases in (
            ("escalations", escalated, escalated.messages),
            ("quality samples", sampled, round(sampled.messages * (share_of_samples or 0))),
        )
        if cases and kind.decided < _FAIR * cases
    ]
    if waiting:
        said.append(
            f"Not all {' and '.join(waiting)} are decided. The most urgent are decided first, so that the "
            "estimate leans to what looked urgent."
        )
    if unsure := escalated.unsure + sampled.unsure:
        said.append(f"{unsure} decisions say unsure, and count neither way.")
    return said


def _span(hits: int, of: int) -> str:
    if not of:
        return ""
    interval = share(hits, of)
    return f" ({hits / of:.1%}, from {interval.low:.1%} to {interval.high:.1%})"


def _share(hits: int, of: int) -> str:
    return f"{hits / of:.1%}" if of else "none"


def _rate(rate: Rate) -> str:
    return f"{rate.value:.1%} (from {rate.interval.low:.1%} to {rate.interval.high:.1%})"
