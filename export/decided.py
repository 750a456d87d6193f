"""Labelled examples from what people decided about review cases: the desk's work teaches the bundle.

Cases are no fair picture of the traffic: every escalation is one, and of the messages that were cleared only
a random share, the quality samples. To fit a head, all of them are welcome. To state how many people a bundle
misses, they are not: those whom the last bundle missed would be too few among them, and the bound would
flatter. So `representative` keeps of the escalations the same random share, and what is left is a simple
random sample of what was screened, whatever the last bundle thought of it.
"""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from engine.errors import TaskError
from engine.task import Task
from export.checking import normal
from export.examples import ExampleRows, LabelledExample
from schemas.events import ReviewCase, ReviewDecision

GONE: Final = "decisions whose case is gone"
_KINDS: Final = ("escalation", "quality_sample")
_FAIR: Final = 0.9  # of a kind of cases, decided: below it, which ones are decided matters


class DecidedExamples(NamedTuple):
    """The examples, each with its case's id as its place, and how many were left out for what reason.

    `said` are sentences that a person should read before relying on them.
    """

    examples: ExampleRows
    left_out: dict[str, int]
    said: tuple[str, ...]


def examples_of_decisions(
    cases: Iterable[ReviewCase],
    decisions: Iterable[ReviewDecision],
    task: Task,
    *,
    representative: float | None = None,
) -> DecidedExamples:
    """Make an example of each decided case of `task` that has a whole text.

    Of several decisions about a case the last counts. Where people decided differently about the same words,
    all of these are left out; where they differ in severity alone, none of them has one. `representative` is
    the share of cleared messages that became quality samples: with it, the examples are a random sample of
    the traffic.

    Raises TaskError: nothing is left, or `representative` is not above 0 and at most 1.
    """
    if representative is not None and not 0 < representative <= 1:
        raise TaskError(
            f"the share of quality samples is {representative:g}: without them nothing is known about the "
            "messages that were cleared. Set MIMAMORI_QUALITY_SAMPLE_SHARE to what the workers had"
        )
    left_out: Counter[str] = Counter()
    of_task = {case.id: case for case in cases if case.task == task.name}
    standing = _standing(decisions, of_task, task, left_out)
    found: dict[str, LabelledExample] = {}
    for case_id, decision in standing.items():
        made = _example(of_task[case_id], decision, task, representative)
        if isinstance(made, str):
            left_out[made] += 1
        else:
            found[case_id] = made
    agreed = dict(_agreed(found))
    if disputed := len(found) - len(agreed):
        left_out["the same words, decided differently"] = disputed
    if not agreed:
        why = "; ".join(f"{count} {reason}" for reason, count in left_out.items())
        hint = (
            forgotten(left_out[GONE])
            if left_out[GONE]
            else "The text must be on the cases: MIMAMORI_CASE_TEXT"
        )
        raise TaskError(
            f"no decided case of {task.name} makes an example ({why or 'there is no decision'}). {hint}"
        )
    rows = ExampleRows(Path("decisions"), agreed.values(), tuple(agreed))
    said = [*([forgotten(left_out[GONE])] if left_out[GONE] else []), *_said(of_task.values(), standing)]
    return DecidedExamples(rows, dict(left_out), tuple(said))


def without_case(cases: Iterable[ReviewCase], decisions: Iterable[ReviewDecision], task: str) -> int:
    """How many decided cases of a task are not among `cases`."""
    there = {case.id for case in cases}
    return len({each.case_id for each in decisions if each.task == task} - there)


def forgotten(decisions: int) -> str:
    """Say of how many decisions the case is forgotten, why, and what to do."""
    have = "1 decision has" if decisions == 1 else f"{decisions} decisions have"
    return (
        f"{have} no case, and so no text any more: the review desk has it forgotten after "
        "MIMAMORI_REVIEW_RETENTION_AFTER_DECISION_HOURS (24). Run this command within that time, or set it "
        "to as long as you gather decisions for (docs/how-to/keep-and-erase.md)."
    )


def _standing(
    decisions: Iterable[ReviewDecision],
    cases: Mapping[str, ReviewCase],
    task: Task,
    left_out: Counter[str],
) -> dict[str, ReviewDecision]:
    """The last decision on each case."""
    standing: dict[str, ReviewDecision] = {}
    for decision in decisions:
        if decision.task != task.name:
            left_out["decisions of another task"] += 1
        elif decision.case_id not in cases:
            left_out[GONE] += 1
        else:
            standing[decision.case_id] = decision
    return standing


def _example(
    case: ReviewCase, decision: ReviewDecision, task: Task, representative: float | None
) -> LabelledExample | str:
    """The example, or why there is none."""
    text = case.text or ""
    unneeded = representative is not None and case.kind == "escalation" and _draw(case.id) >= representative
    for applies, reason in (
        (case.kind not in _KINDS, f"cases of kind {case.kind}"),
        (decision.finding == "unsure", "unsure"),
        (not text.strip(), "cases without a text"),
        (case.text_shortened, "cases whose text was shortened"),
        (unneeded, "escalations that a random sample does not need"),
    ):
        if applies:
            return reason
    at_risk = decision.finding == "at_risk"
    severity = decision.severity if at_risk and decision.severity in task.level_names else None
    return LabelledExample(text, at_risk, id=case.message_id, severity=severity)


def _draw(case_id: str) -> float:
    """A number from 0 to 1 that follows from the case alone, so that each run draws the same sample."""
    digest = hashlib.blake2b(case_id.encode(), digest_size=8, person=b"sample-of-cases").digest()
    return int.from_bytes(digest) / 2**64


def _agreed(found: Mapping[str, LabelledExample]) -> Iterator[tuple[str, LabelledExample]]:
    """The examples about whose words nobody judged otherwise."""
    groups: dict[str, list[str]] = defaultdict(list)
    for case_id, example in found.items():
        groups[normal(example.text)].append(case_id)
    for group in groups.values():
        told = [found[case_id] for case_id in group]
        if len({example.at_risk for example in told}) > 1:
            continue
        same = len({example.severity for example in told}) == 1
        for case_id, example in zip(group, told, strict=True):
            yield case_id, example if same else msgspec.structs.replace(example, severity=None)


def _said(cases: Iterable[ReviewCase], standing: Mapping[str, ReviewDecision]) -> Iterator[str]:
    there: Counter[str] = Counter()
    decided: Counter[str] = Counter()
    for case in cases:
        there[case.kind] += 1
        decided[case.kind] += case.id in standing
    for kind in _KINDS:
        if decided[kind] < _FAIR * there[kind]:
            yield (
                f"{decided[kind]} of {there[kind]} cases of kind {kind} are decided. The most urgent are "
                "decided first, so that these examples lean to what looked urgent."
            )
    if not there["quality_sample"]:
        yield (
            "There is no quality sample among the cases: the examples show nothing of those whom the last "
            "bundle missed."
        )
