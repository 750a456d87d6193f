"""The figures of the desk: agreement beyond chance, shares with intervals, speed, golden items."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from review.cases.entries import decode_entry, encode_entry
from review.cases.remains import Summary, forget
from review.cases.state import Judgement
from review.errors import DeskError
from review.figures.agreement import kappa, share
from review.figures.golden import read_golden
from review.figures.imitation import Imitation
from review.figures.summary import figures
from schemas.events import Origin
from schemas.vocabulary import CaseKind, Finding
from tests.fakes.memory_desk import MemoryDesk, person
from tests.unit.review.test_entries import CASE

NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)
FINDINGS = st.sampled_from(["at_risk", "not_at_risk", "unsure"])
PAIRS = st.lists(st.tuples(FINDINGS, FINDINGS), min_size=1, max_size=60)
ITEM = {"id": "rent", "task": "stress", "text": "The rent is due, and I smile.", "finding": "at_risk"}
LEAD = person("lena", "reviewer", "lead")


def _case(
    *findings: Finding, kind: CaseKind = "escalation", minutes: float = 30, golden: str | None = None
) -> Summary:
    judged = [
        Judgement(
            f"d{place}", f"reader-{place}", finding, None, NOW - timedelta(hours=1), published=place == 0
        )
        for place, finding in enumerate(findings)
    ]
    sent = NOW - timedelta(hours=1, minutes=minutes)
    return Summary("stress", kind, sent, "high", kind == "escalation", judged, golden)


def test_kappa_is_that_of_cohens_example() -> None:
    """Of 50 proposals, 20 yes-yes, 5 yes-no, 10 no-yes, 15 no-no: 0.4, as every textbook has it."""
    pairs = [("y", "y")] * 20 + [("y", "n")] * 5 + [("n", "y")] * 10 + [("n", "n")] * 15
    found = kappa(pairs)
    assert found is not None
    assert found.value == pytest.approx(0.4)
    assert found.low < 0.4 < found.high


@given(PAIRS)
def test_kappa_is_one_only_where_all_agree_and_does_not_care_who_is_first(
    pairs: list[tuple[str, str]],
) -> None:
    found, turned = kappa(pairs), kappa([(other, one) for one, other in pairs])
    assert (found is None) == (turned is None)
    if found is not None and turned is not None:
        assert found.value == pytest.approx(turned.value)
        assert (found.value == 1) == all(one == other for one, other in pairs)
        assert -1 <= found.low <= found.value + 1e-12
        assert found.value <= found.high + 1e-12 <= 1 + 1e-9


@given(st.integers(0, 400), st.integers(1, 400))
def test_a_shares_interval_holds_it_and_narrows_with_more_cases(found: int, more: int) -> None:
    of = found + more
    one, ten = share(found, of), share(found * 10, of * 10)
    assert one is not None
    assert ten is not None
    assert 0 <= one.low <= one.value <= one.high <= 1
    assert ten.high - ten.low < one.high - one.low


def test_nothing_is_made_of_nothing() -> None:
    found = figures([], [], NOW, days=7, answers={})
    assert (found.agreement, found.samples_at_risk, found.escalations_at_risk) == (None, None, None)
    assert [day.findings for day in found.days] == [{}] * 7
    assert found.days[-1].day == NOW.date()


def test_the_figures_say_what_was_found() -> None:
    cases = [
        _case("at_risk", "at_risk"),
        _case("at_risk", "not_at_risk", minutes=90),
        _case("not_at_risk"),
        _case("not_at_risk", kind="quality_sample"),
        _case("at_risk", kind="quality_sample"),
        _case("at_risk", kind="golden", golden="rent"),
        _case("not_at_risk", kind="golden", golden="shift"),
        _case("not_at_risk", kind="golden", golden="gone"),
    ]
    found = figures(cases, [], NOW, days=1, answers={"rent": "at_risk", "shift": "at_risk"})
    assert found.agreement is not None
    assert (found.agreement.cases, found.disagreed) == (2, 1)
    assert found.samples_at_risk is not None
    assert (found.samples_at_risk.value, found.samples_at_risk.cases) == (0.5, 2)
    assert found.escalations_at_risk is not None
    assert found.escalations_at_risk.value == pytest.approx(2 / 3)
    assert [(each.level, each.cases, each.median) for each in found.speeds] == [("high", 3, 1800.0)]
    assert [(each.right, each.of) for each in found.golden] == [(1, 2)]
    assert found.days[-1].findings == {"at_risk": 4, "not_at_risk": 3}


def test_what_somebody_finds_after_the_models_view_was_shown_to_them_changes_no_figure() -> None:
    """A lead who was unsure has seen what the model said when they are asked again."""

    def judged(place: int, reader: str, finding: Finding, item: str | None = None) -> Judgement:
        at = NOW - timedelta(hours=2, minutes=-place)
        return Judgement(f"d{place}{item}", reader, finding, None, at, published=place > 0)

    again = [judged(0, "lena", "unsure"), judged(1, "ben", "at_risk"), judged(2, "lena", "not_at_risk")]
    alone = [again[0], again[2]]
    samples = [
        structs.replace(_case("at_risk", kind="quality_sample"), judgements=each) for each in (again, alone)
    ]
    met = [
        structs.replace(_case("at_risk", kind="golden", golden="rent"), judgements=[each])
        for each in (
            judged(3, "lena", "at_risk"),
            judged(2, "lena", "not_at_risk"),
            judged(4, "ben", "at_risk"),
        )
    ]
    found = figures([*samples, *met], [], NOW, days=1, answers={"rent": "at_risk"})
    assert found.samples_at_risk is not None
    assert (found.samples_at_risk.value, found.samples_at_risk.cases) == (1.0, 1)
    # Whoever meets an item again knows it: the first time counts, whatever order the cases are kept in.
    assert [(each.reader, each.right, each.of) for each in found.golden] == [("ben", 1, 1), ("lena", 0, 1)]


def test_what_is_older_than_the_span_does_not_count() -> None:
    old = structs.replace(
        _case("at_risk"), judgements=[Judgement("d", "r", "at_risk", None, NOW - timedelta(days=2), True)]
    )
    assert figures([old], [], NOW, days=1, answers={}).speeds == []
    assert figures([old], [], NOW, days=7, answers={}).speeds != []


def test_a_share_of_decided_cases_is_read_again_blind_and_where_readers_differ_a_lead_decides() -> None:
    async def scene() -> MemoryDesk:
        memory = MemoryDesk(double_share=1.0)
        await memory.open(CASE)
        await memory.decide(CASE, person("aoi"), "at_risk")
        await memory.pass_time(61)
        assert len(memory.published) == 1
        await memory.pass_time(1)
        again = memory.desk.find(CASE.id, person("ben"))
        assert (again.phase, again.stage, again.model, again.judgements) == ("waiting", "first", None, [])
        assert memory.desk.find(CASE.id, LEAD).stage == "second"
        await memory.decide(CASE, person("ben"), "not_at_risk")
        await memory.pass_time(61)
        # What Aoi found stands until a lead has decided.
        assert len(memory.published) == 1
        assert memory.desk.find(CASE.id, LEAD).stage == "lead"
        await memory.decide(CASE, LEAD, "at_risk")
        await memory.pass_time(61)
        await memory.pass_time(61)
        assert memory.desk.find(CASE.id, LEAD).phase == "settled"
        return memory

    memory = asyncio.run(scene())
    assert [decision.finding for decision in memory.published] == ["at_risk", "at_risk"]
    assert memory.published[1].supersedes == memory.published[0].id
    found = figures(memory.present.settled.values(), [], memory.now, days=1, answers={})
    assert found.disagreed == 1 or found.agreement is None


def test_where_the_second_reader_agrees_nobody_else_is_asked() -> None:
    async def scene() -> MemoryDesk:
        memory = MemoryDesk(double_share=1.0)
        await memory.open(CASE)
        for reader in ("aoi", "ben"):
            await memory.decide(CASE, person(reader), "at_risk", severity="high")
            await memory.pass_time(61)
            await memory.pass_time(1)
        assert memory.desk.find(CASE.id, person("ben")).phase == "settled"
        return memory

    assert [decision.finding for decision in asyncio.run(scene()).published] == ["at_risk", "at_risk"]


def test_golden_items_are_scored_and_not_published(tmp_path: Path) -> None:
    (tmp_path / "golden.jsonl").write_text(json.dumps(ITEM))
    items = read_golden(tmp_path / "golden.jsonl")

    async def scene() -> MemoryDesk:
        memory = MemoryDesk()
        beside = structs.replace(CASE, origin=Origin("messages", 0, 7))
        case = Imitation([beside], whole=True).case(items["rent"], memory.now)
        await memory.open(case)
        shown = memory.desk.find(case.id, person("aoi"))
        assert shown.kind == "escalation"
        assert "golden" not in repr(shown)
        assert "rent" not in repr(shown)
        await memory.decide(case, person("aoi"), "not_at_risk")
        await memory.pass_time(61)
        return memory

    memory = asyncio.run(scene())
    assert memory.published == []
    answers = {name: item.finding for name, item in items.items()}
    found = figures(memory.present.settled.values(), [], memory.now, days=1, answers=answers)
    assert [(each.reader, each.right, each.of) for each in found.golden] == [("aoi", 0, 1)]


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (["{"], "line 1: is no golden item"),
        ([json.dumps(ITEM), json.dumps(ITEM)], "line 2: `id` must not be empty, nor one of a line above"),
        ([json.dumps(ITEM | {"severity": "high"})], "line 1: `severity` must be one of `levels`"),
        ([json.dumps(ITEM | {"colour": "red"})], "line 1: is no golden item"),
    ],
)
def test_a_wrong_item_is_named_and_not_quoted(tmp_path: Path, lines: list[str], said: str) -> None:
    (tmp_path / "golden.jsonl").write_text("\n".join(lines))
    with pytest.raises(DeskError, match=said) as refused:
        read_golden(tmp_path / "golden.jsonl")
    assert ITEM["text"] not in str(refused.value)


def test_figures_outlive_the_text() -> None:
    async def scene() -> MemoryDesk:
        memory = MemoryDesk()
        await memory.open(CASE)
        await memory.decide(CASE, person("aoi"), "at_risk")
        await memory.pass_time(61)
        return memory

    memory = asyncio.run(scene())
    ((key, state),) = memory.table.items()
    before = dict(memory.present.settled)
    memory.present.clear()
    memory.present.put(key, decode_entry(encode_entry(forget(state))))  # type: ignore[arg-type] # a settled case
    assert before == memory.present.settled != {}
