"""The live miss rate: what people decided about a known stream gives back what was put into it."""

from collections import Counter
from datetime import UTC, datetime

import msgspec
import numpy as np
import pytest

from engine.errors import TaskError
from export.evaluating.intervals import share
from mimamori.comparing.decided import Decided
from mimamori.missing import FEWEST, MissRateReport, estimate, tally
from schemas.events import Label, Origin, Thresholds
from schemas.reasons import Reason
from schemas.vocabulary import Finding, Verdict

THEN = datetime(2026, 11, 1, tzinfo=UTC)


def label(offset: int, verdict: Verdict, *, sampled: bool = False, task: str = "stress") -> Label:
    reasons: list[Reason] = ["quality_sample"] if sampled else []
    return Label(
        f"label:m:0:{offset}", f"m-{offset}", Origin("m", 0, offset), task, verdict, 0.5, None, reasons,
        Thresholds(0.3, 0.7, "test"), "pooled", "b", 1, False, False, THEN, "fp32-1",
    )  # fmt: skip


def world(
    clear: int, escalated: int, samples: int, at_risk: tuple[int, int]
) -> tuple[list[Label], dict[Origin, Decided]]:
    """Labels, and a decision on every case: of the samples and of the escalated so many are at risk."""
    labels = [label(at, "clear", sampled=at < samples) for at in range(clear)]
    labels += [label(clear + at, "uncertain" if at % 2 else "at_risk") for at in range(escalated)]
    decided: dict[Origin, Decided] = {}
    for first, number, ill, kind in (
        (0, samples, at_risk[0], "quality_sample"),
        (clear, escalated, at_risk[1], "escalation"),
    ):
        for at in range(number):
            found: Finding = "at_risk" if at < ill else "not_at_risk"
            decided[Origin("m", 0, first + at)] = Decided(found, kind)  # type: ignore[arg-type] # literals above
    return labels, decided


def told(
    labels: list[Label], decided: dict[Origin, Decided], bound: float | None = None, within: float = 0.05
) -> MissRateReport:
    left_out: Counter[str] = Counter()
    return estimate(tally(labels, None, left_out), decided, left_out, bound, within)


def test_each_sample_stands_for_as_many_as_were_cleared_for_it() -> None:
    report = told(*world(clear=10_000, escalated=500, samples=200, at_risk=(2, 400)))
    assert report.at_risk_among_clear is not None
    assert report.miss_rate is not None
    assert report.at_risk_among_clear.value == 0.01
    exact = share(2, 200)
    assert report.at_risk_among_clear.interval == exact
    assert report.miss_rate.value == pytest.approx(100 / (100 + 400))
    assert report.miss_rate.interval.low < 0.2 < report.miss_rate.interval.high
    assert (report.cleared.cases, report.escalated.cases) == (200, 500)


def test_the_interval_holds_as_often_as_it_says() -> None:
    """300 streams with a known miss rate, decided in full."""
    chance = np.random.default_rng(3)
    clear, ill_of_clear, escalated, ill_of_escalated, samples = 4000, 80, 400, 240, 150
    truth = ill_of_clear / (ill_of_clear + ill_of_escalated)
    held = 0
    for _ in range(300):
        found = int(chance.hypergeometric(ill_of_clear, clear - ill_of_clear, samples))
        report = told(*world(clear, escalated, samples, (found, ill_of_escalated)))
        assert report.miss_rate is not None
        held += report.miss_rate.interval.low <= truth <= report.miss_rate.interval.high
    assert held >= 0.95 * 300


def test_too_little_concludes_nothing_and_says_how_much_would_do() -> None:
    report = told(*world(clear=5000, escalated=300, samples=FEWEST - 1, at_risk=(0, 200)), bound=0.1)
    assert report.said[0].startswith(f"Nothing is concluded from {FEWEST - 1} decided quality samples")
    assert not any("holds" in line for line in report.said)
    assert report.needed is not None
    assert f"About {report.needed:,} more" in " ".join(report.said)
    more = told(
        *world(clear=5000, escalated=300, samples=FEWEST - 1 + report.needed, at_risk=(0, 200)), bound=0.1
    )
    assert more.miss_rate is not None
    assert (more.miss_rate.interval.high - more.miss_rate.interval.low) / 2 <= 0.051
    assert more.needed == 0


def test_what_no_number_of_samples_can_tell_is_said() -> None:
    report = told(*world(clear=60, escalated=4, samples=40, at_risk=(3, 3)), within=0.01)
    assert report.needed is None
    assert any("take more labels" in line for line in report.said)


@pytest.mark.parametrize(
    ("at_risk", "bound", "expected"),
    [((0, 450), 0.5, "holds."), ((30, 100), 0.1, "does not hold"), ((2, 400), 0.2, "cannot be told yet")],
)
def test_it_is_held_against_the_bound(at_risk: tuple[int, int], bound: float, expected: str) -> None:
    report = told(*world(clear=10_000, escalated=500, samples=400, at_risk=at_risk), bound=bound)
    assert expected in report.said[1]


def test_undecided_cases_are_said_and_unsure_counts_neither_way() -> None:
    labels, decided = world(clear=2000, escalated=100, samples=100, at_risk=(1, 60))
    for at in range(50):
        del decided[Origin("m", 0, 99 - at)]
    decided[Origin("m", 0, 10)] = Decided("unsure", "quality_sample")
    report = told(labels, decided)
    assert (report.cleared.judged, report.cleared.unsure) == (49, 1)
    assert any("50 of 100 quality samples are decided" in line for line in report.said)
    assert not any("escalations are decided" in line for line in report.said)


def test_repeated_and_foreign_records_count_once_or_not() -> None:
    labels, decided = world(clear=1000, escalated=100, samples=50, at_risk=(1, 60))
    elsewhere = msgspec.structs.replace(labels[0], origin=Origin("other", 0, 0))
    decided[Origin("m", 0, 90_000)] = Decided("at_risk", None)
    decided[Origin("m", 0, 500)] = Decided("at_risk", None)  # clear, and no sample: nobody was asked
    report = told([*labels, labels[3], elsewhere], decided)
    assert report.labels == 1100
    assert report.left_out == {
        "repeated labels": 1,
        "labels of messages of another topic (other)": 1,
        "decisions on messages without a label here": 2,
    }


def test_labels_of_several_tasks_must_be_told_apart() -> None:
    labels = [label(0, "clear"), label(1, "clear", task="suicide-risk")]
    with pytest.raises(TaskError, match="of several tasks, stress, suicide-risk: choose one with --task"):
        tally(labels, None, Counter())
    assert tally(labels, "stress", Counter()).task == "stress"
    with pytest.raises(TaskError, match="no label to count"):
        tally([], None, Counter())
