"""Whether a canary may go on: what it does beside the bundle that runs, on the messages of the same time.

    go on     it is shown to send people no less than the margin allows, and nothing speaks against it
    stop      it is shown to send people less than its share; or to have less of it confirmed by them; or to
              have missed more of those whom people found in samples of what was cleared; or to label fewer
              messages than its share, since what its model fails on becomes a dead letter; or to send people
              more than so many times as much
    not yet   neither, or there are fewer messages than are asked for, or people decided on one side alone

What a bundle sends to people is not whom it finds: only decisions say that. Without any, numbers alone are
compared, and the answer says so.

The tests are made for somebody who looks often (`export/comparing/sequential.py`): a canary that sends less
than the margin allows, at every time, is ever told to go on with a probability of at most 1 - confidence, and
one that is as good is ever stopped with no more than that, over all reasons to stop together. That is proven
of counts of messages. The two tests of decisions reckon with how many of either side's cases were decided,
which is estimated from the same data: for these it is an approximation, and not proven. Where both "go on"
and "stop" would be shown, it stops.
"""

from collections import Counter
from typing import Final, Literal

import msgspec

from export.comparing.sequential import (
    evidence_above,
    evidence_below,
    lower_bound,
    ratio_interval,
    shown,
)
from export.evaluating.intervals import Interval
from mimamori.comparing.decided import Decided
from mimamori.comparing.judged import Both, judged
from mimamori.comparing.stretch import Side, Stretch
from schemas.events import Origin

Answer = Literal["go on", "stop", "not yet"]
LEAST: Final = 1500  # messages of the canary
MARGIN: Final = 0.2
MOST_WORK: Final = 2.0
CONFIDENCE: Final = 0.95
REASONS: Final = 5  # for which it may be stopped


class Asked(msgspec.Struct, frozen=True):
    """What a canary must show. `margin`: it may send people so much less, as a share of what OLD sends."""

    margin: float = MARGIN
    most_work: float = MOST_WORK
    least: int = LEAST
    confidence: float = CONFIDENCE


class Ratio(msgspec.Struct, frozen=True):
    """How many times as often something happens under NEW as under OLD, for its share of the messages.

    The interval holds at all times together. Its ends are None where it has none.
    """

    value: float | None
    low: float
    high: float | None


class CanaryReport(msgspec.Struct, frozen=True):
    """The answer, why, and what it stands on."""

    answer: Answer
    why: tuple[str, ...]
    task: str
    share: float
    since: str
    asked: Asked
    old: Side
    new: Side
    ratios: dict[str, Ratio]
    judged: Both
    dead_letters: dict[str, int]
    left_out: dict[str, int]


def judge(
    stretch: Stretch,
    decided: dict[Origin, Decided],
    dead_letters: Counter[str],
    left_out: Counter[str],
    asked: Asked,
) -> CanaryReport:
    """Judge a canary by the labels of a stretch and by what people decided on its cases."""
    old, new, share = stretch.old, stretch.new, stretch.share
    people = judged(stretch, decided, left_out)
    stops, doubts = _stops(stretch, people, asked), _doubts(stretch, people, asked)
    answer: Answer = "stop" if stops else "not yet" if doubts else "go on"
    counted = {
        "to people": (new.sent, old.sent, share),
        **{
            f"severity {name}": (new.severities.get(name, 0), old.severities.get(name, 0), share)
            for name in sorted(old.severities.keys() | new.severities.keys())
        },
        "uncertain": (new.verdicts.get("uncertain", 0), old.verdicts.get("uncertain", 0), share),
        "people agree": people.confirmed(stretch),
        "missed in samples": people.missed(stretch),
    }
    ratios = {name: _ratio(*counts, 1 - asked.confidence) for name, counts in counted.items()}
    why = stops or doubts or [_for_it(stretch, people, asked)]
    return CanaryReport(
        answer,
        tuple(why),
        stretch.task,
        share,
        stretch.since.isoformat(timespec="seconds"),
        asked,
        old,
        new,
        ratios,
        people,
        dict(dead_letters),
        dict(+left_out),
    )


def _stops(stretch: Stretch, people: Both, asked: Asked) -> list[str]:
    old, new, share = stretch.old, stretch.new, stretch.share
    confirmed, missed = people.confirmed(stretch), people.missed(stretch)
    said = {
        f"it sends less to people: {_times(new.sent, old.sent, share)} as much as the bundle that runs": (
            evidence_below(new.sent, old.sent, share, 1)
        ),
        f"less of what it sends is confirmed: people agreed with {people.new.agreed}, and with "
        f"{people.old.agreed} of the other's, which is {_times(*confirmed)} as many for its messages": (
            evidence_below(*confirmed, 1)
        ),
        f"it misses more: in samples of what was cleared, people found {missed[0]} of {people.new.samples} "
        f"at risk, and {missed[1]} of {people.old.samples} of the other's": evidence_above(*missed, 1),
        f"it labels only {_times(new.messages, old.messages, share)} as many messages as are its own: its "
        "model fails on the others, which are dead letters": (
            evidence_below(new.messages, old.messages, share, 1)
        ),
        f"it sends people {_times(new.sent, old.sent, share)} as much, and {asked.most_work:g} times is "
        "the most that is asked for": evidence_above(new.sent, old.sent, share, asked.most_work),
    }
    each = (1 - asked.confidence) / REASONS
    return [why for why, evidence in said.items() if shown(evidence, each)]


def _doubts(stretch: Stretch, people: Both, asked: Asked) -> list[str]:
    """Why it may not go on yet."""
    old, new, error = stretch.old, stretch.new, 1 - asked.confidence
    said = []
    if new.messages < asked.least:
        said.append(f"{new.messages:,} of at least {asked.least:,} messages of its own")
    if not stretch.whole:
        said.append(
            "the share began before the labels that were read: raise --last, since looks that each begin "
            "elsewhere prove less than they say; or Kafka has deleted them: set another share and begin anew"
        )
    floor = 1 - asked.margin
    if not shown(evidence_above(new.sent, old.sent, stretch.share, floor), error):
        least = lower_bound(new.sent, old.sent, stretch.share, error)
        said.append(
            f"it may send people less than {floor:.2f} times as much as the bundle that runs: at least "
            f"{least:.2f} times as much is shown, by {new.sent:,} of its own"
        )
    agreed = f"people agreed with {people.new.agreed}, and with {people.old.agreed} of the other's"
    if people.one_sided:
        said.append(
            f"people decided on {people.new.escalated:,} of what it sent them, and on "
            f"{people.old.escalated:,} of what the other did: that they agree as often takes cases of both"
        )
    elif shown(evidence_below(*people.confirmed(stretch), 1), error):
        said.append(f"less of what it sends may be confirmed: {agreed}")
    return said


def _for_it(stretch: Stretch, people: Both, asked: Asked) -> str:
    new = stretch.new
    least = lower_bound(new.sent, stretch.old.sent, stretch.share, 1 - asked.confidence)
    agreed = (
        f"people agreed with {people.new.agreed}, and with {people.old.agreed} of the other's"
        if people.new.escalated
        else "nobody has decided on any of it, so that numbers alone were compared"
    )
    return (
        f"it sends people at least {least:.2f} times as much as the bundle that runs, over "
        f"{new.messages:,} messages of its own; {agreed}"
    )


def _ratio(new: int, old: int, share: float, error: float) -> Ratio:
    span: Interval = ratio_interval(new, old, share, error)
    value = (new / share) / (old / (1 - share)) if old else None
    return Ratio(value, span.low, None if span.high == float("inf") else span.high)


def _times(new: int, old: int, share: float) -> str:
    return f"{(new / share) / (old / (1 - share)):.2f} times" if old else "not a number of times"
