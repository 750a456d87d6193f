"""Whether a canary may go on: what it does beside the bundle that runs, on the messages of the same time.

    go on     it is shown to find no fewer people than the margin allows, and none of what stops it is shown
    stop      it is shown to find fewer than its share; or to have missed more of those whom people found in
              samples of what was cleared; or to label fewer messages than its share, since what its model
              fails on becomes a dead letter; or to send people more than so many times as much
    not yet   neither, or there are fewer messages than are asked for

Every test holds however often somebody looks (`export/comparing/sequential.py`): a canary that finds fewer
people than the margin allows is ever told to go on with a probability of at most 1 - confidence, and one that
is as good is ever stopped with no more than that, over all reasons to stop together. Where both would be
shown, it stops.
"""

from collections import Counter
from typing import Final, Literal

import msgspec

from export.comparing.sequential import evidence_above, evidence_below, ratio_interval, shown
from export.evaluating.intervals import Interval
from mimamori.comparing.decided import Decided
from mimamori.comparing.stretch import Side, Stretch
from schemas.events import Origin

Answer = Literal["go on", "stop", "not yet"]
LEAST: Final = 1500  # messages of the canary
MARGIN: Final = 0.2
MOST_WORK: Final = 2.0
CONFIDENCE: Final = 0.95
REASONS: Final = 4  # for which it may be stopped


class Asked(msgspec.Struct, frozen=True):
    """What a canary must show. `margin`: it may find so much fewer, as a share of what OLD finds."""

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


class Judged(msgspec.Struct, frozen=True):
    """What people found in a side's cases: of the escalated, and of the samples of what it cleared."""

    escalated: int
    escalated_at_risk: int
    samples: int
    samples_at_risk: int


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
    judged: dict[str, Judged]
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
    people = {True: Counter[str](), False: Counter[str]()}
    for origin, decision in decided.items():
        if origin not in stretch.new_of:
            left_out["decisions on messages outside of the stretch"] += 1
        elif decision.finding != "unsure":
            kind = "samples" if origin in stretch.cleared else "escalated"
            count = people[stretch.new_of[origin]]
            count[kind] += 1
            count[f"{kind}_at_risk"] += decision.finding == "at_risk"
    judged = {name: _judged(people[name == "new"]) for name in ("old", "new")}
    error = 1 - asked.confidence
    stops = _stops(old, new, judged, share, asked)
    enough = new.messages >= asked.least
    within = shown(evidence_above(new.found, old.found, share, 1 - asked.margin), error)
    answer: Answer = "stop" if stops else "go on" if within and enough and stretch.whole else "not yet"
    ratios = {
        "found": _ratio(new.found, old.found, share, error),
        **{
            f"severity {name}": _ratio(new.severities.get(name, 0), old.severities.get(name, 0), share, error)
            for name in sorted(old.severities.keys() | new.severities.keys())
        },
        "uncertain": _ratio(new.verdicts.get("uncertain", 0), old.verdicts.get("uncertain", 0), share, error),
        "missed in samples": _ratio(
            judged["new"].samples_at_risk,
            judged["old"].samples_at_risk,
            _share_of_samples(old, new, judged, share),
            error,
        ),
    }
    why = stops or _not_yet(stretch, asked, ratios["found"], within=within)
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
        judged,
        dict(dead_letters),
        dict(+left_out),
    )


def _stops(old: Side, new: Side, judged: dict[str, Judged], share: float, asked: Asked) -> list[str]:
    error = (1 - asked.confidence) / REASONS
    missed = judged["new"].samples_at_risk, judged["old"].samples_at_risk
    said = {
        f"it finds fewer people: {_times(new.found, old.found, share)} as many as the bundle that runs": (
            evidence_below(new.found, old.found, share, 1)
        ),
        f"it misses more: in samples of what was cleared, people found {missed[0]} of "
        f"{judged['new'].samples} at risk, and {missed[1]} of {judged['old'].samples} of the other's": (
            evidence_above(*missed, _share_of_samples(old, new, judged, share), 1)
        ),
        f"it labels only {_times(new.messages, old.messages, share)} as many messages as are its own: its "
        "model fails on the others, which are dead letters": (
            evidence_below(new.messages, old.messages, share, 1)
        ),
        f"it sends people {_times(new.found, old.found, share)} as much, and {asked.most_work:g} times is "
        "the most that is asked for": evidence_above(new.found, old.found, share, asked.most_work),
    }
    return [why for why, evidence in said.items() if shown(evidence, error)]


def _not_yet(stretch: Stretch, asked: Asked, found: Ratio, *, within: bool) -> list[str]:
    """Why it may go on, or may not yet."""
    new = stretch.new
    said = []
    if new.messages < asked.least:
        said.append(f"{new.messages:,} of at least {asked.least:,} messages of its own")
    if not stretch.whole:
        said.append(
            "the share began before the labels that were read: raise --last, since looks that each begin "
            "elsewhere prove less than they say; or Kafka has deleted them: set another share and begin anew"
        )
    floor = 1 - asked.margin
    interval = f"{found.low:.2f} to {'any number' if found.high is None else f'{found.high:.2f}'}"
    if not within:
        said.append(
            f"it may find fewer than {floor:.2f} times as many people as the bundle that runs: {interval} "
            f"times as many, by {new.found:,} of its own"
        )
    elif not said:
        said.append(
            f"it finds at least {floor:.2f} times as many people as the bundle that runs: {interval} times, "
            f"over {new.messages:,} messages of its own"
        )
    return said


def _share_of_samples(old: Side, new: Side, judged: dict[str, Judged], share: float) -> float:
    """NEW's part of the messages, as often as cleared ones of either were sampled and decided."""
    seen = [
        judged[name].samples / cleared if (cleared := side.messages - side.found) else 0.0
        for name, side in (("new", new), ("old", old))
    ]
    if not all(seen):
        return share
    odds = share / (1 - share) * seen[0] / seen[1]
    return odds / (1 + odds)


def _judged(found: Counter[str]) -> Judged:
    return Judged(found["escalated"], found["escalated_at_risk"], found["samples"], found["samples_at_risk"])


def _ratio(new: int, old: int, share: float, error: float) -> Ratio:
    span: Interval = ratio_interval(new, old, share, error)
    value = (new / share) / (old / (1 - share)) if old else None
    return Ratio(value, span.low, None if span.high == float("inf") else span.high)


def _times(new: int, old: int, share: float) -> str:
    return f"{(new / share) / (old / (1 - share)):.2f} times" if old else "not a number of times"
