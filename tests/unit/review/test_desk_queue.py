"""The queue as people meet it at the desk: the next case, skips, samples, levels, the cap, the forecast."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from msgspec import structs

from review.cases.form import Form
from review.errors import ConflictError, DecisionRefusedError, NotAllowedError, TooManyClaimsError
from review.people import Person
from review.queue.order import Filter
from schemas.events import ReviewCase, Severity
from tests.fakes.memory_desk import MemoryDesk, person
from tests.unit.review.test_entries import CASE

AOI, BEN, LEAD = person("aoi"), person("ben"), person("lena", "reviewer", "lead")


def case(number: int, level: str = "moderate", **fields: object) -> ReviewCase:
    levels = ["low", "moderate", "high"]
    scores = {name: 0.8 if name == level else 0.1 for name in levels}
    made = structs.replace(
        CASE, id=f"case:messages:0:{number}", levels=levels, severity=Severity(level, scores)
    )
    return structs.replace(made, **fields)


def sample(number: int) -> ReviewCase:
    return case(number, kind="quality_sample", severity=None, verdict="clear")


def play(scene: Callable[[MemoryDesk], Awaitable[None]], *cases: ReviewCase, **rules: object) -> None:
    memory = MemoryDesk(**rules)  # type: ignore[arg-type]  # passed on as they are

    async def run() -> None:
        await memory.open(*cases)
        await scene(memory)

    asyncio.run(run())


async def next_of(memory: MemoryDesk, who: Person, wanted: Filter | None = None) -> str | None:
    claim = await memory.desk.claim_next(who, wanted or Filter())
    return None if claim is None else claim.case.id


def listed(memory: MemoryDesk, who: Person = AOI, wanted: Filter | None = None) -> list[str]:
    return [view.id for view in memory.desk.queue(wanted or Filter(), who, offset=0, limit=50).cases]


def test_ten_people_who_ask_at_one_moment_get_ten_cases() -> None:
    people = [person(f"reviewer-{n}") for n in range(10)]

    async def scene(memory: MemoryDesk) -> None:
        claims = await asyncio.gather(*(memory.desk.claim_next(who, Filter()) for who in people))
        assert len({claim.case.id for claim in claims if claim}) == 10
        assert listed(memory) == []

    play(scene, *(case(n) for n in range(10)))


def test_a_claim_that_fails_leaves_the_case_to_others() -> None:
    async def scene(memory: MemoryDesk) -> None:
        memory.down = True
        with pytest.raises(DecisionRefusedError):
            await memory.desk.claim_next(AOI, Filter())
        memory.down = False
        assert await next_of(memory, BEN) == case(1).id

    play(scene, case(1))


def test_the_next_case_goes_to_the_next_if_a_colleague_was_quicker(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene(memory: MemoryDesk) -> None:
        claim, refused = memory.desk.claim, [case(1).id]

        async def too_late(case_id: str, who: Person) -> object:
            if case_id in refused:
                raise ConflictError("somebody else took a step on this case at the same moment")
            return await claim(case_id, who)

        monkeypatch.setattr(memory.desk, "claim", too_late)
        assert await next_of(memory, AOI) == case(2, "low").id
        refused.clear()
        assert await next_of(memory, BEN) == case(1).id  # given back, so not promised to anybody

    play(scene, case(1), case(2, "low"))


def test_whoever_holds_enough_takes_no_turn_from_others() -> None:
    async def scene(memory: MemoryDesk) -> None:
        first = await next_of(memory, AOI)
        for _ in range(20):
            with pytest.raises(TooManyClaimsError):
                await memory.desk.claim_next(AOI, Filter())
        assert {first, await next_of(memory, BEN)} == {case(1).id, case(2).id}

    play(scene, case(1), case(2))


def test_a_skipped_case_comes_back_after_a_while_or_never_by_its_reason() -> None:
    async def scene(memory: MemoryDesk) -> None:
        for reason in ("not_now", "know_the_person"):
            claim = await memory.desk.claim_next(AOI, Filter())
            assert claim is not None
            await memory.desk.release(claim.case.id, claim.lease, AOI, reason=reason)
        assert await next_of(memory, AOI) is None
        assert len(listed(memory)) == 2
        await memory.pass_time(3600)
        again = await memory.desk.claim_next(AOI, Filter())
        assert again is not None
        await memory.desk.release(again.case.id, again.lease, AOI)
        assert await next_of(memory, AOI) is None
        assert await next_of(memory, BEN) is not None

    play(scene, case(1, "high"), case(2))


def test_a_quality_sample_is_listed_and_claimed_as_any_case() -> None:
    async def scene(memory: MemoryDesk) -> None:
        for who in (AOI, LEAD):
            assert set(listed(memory, who)) == {case(1).id, sample(2).id}
            assert set(listed(memory, who, Filter(kind="quality_sample"))) == (
                {sample(2).id} if who is LEAD else set()
            )
        assert set(listed(memory, AOI, Filter(kind="escalation"))) == {case(1).id, sample(2).id}
        claims = [await memory.desk.claim_next(who, Filter()) for who in (AOI, BEN)]
        assert {claim.case.id for claim in claims if claim} == {case(1).id, sample(2).id}
        assert {claim.case.kind for claim in claims if claim} == {"escalation"}

    play(scene, case(1), sample(2))


def test_levels_are_told_to_reviewers_only_where_they_may_see_the_model_first() -> None:
    async def scene(memory: MemoryDesk) -> None:
        [place] = memory.desk.queue(Filter(), AOI, offset=0, limit=9).places
        assert (place.level, place.due, place.overdue) == (None, None, None)
        # What is late after half an hour is severe: the one is as good as the other.
        for wanted in (Filter(level="high"), Filter(overdue=True), Filter(overdue=False)):
            with pytest.raises(NotAllowedError, match="once you have judged"):
                memory.desk.queue(wanted, AOI, offset=0, limit=9)
            with pytest.raises(NotAllowedError, match="once you have judged"):
                await memory.desk.claim_next(AOI, wanted)
        [place] = memory.desk.queue(Filter(level="high"), LEAD, offset=0, limit=9).places
        assert (place.level, place.due) == ("high", place.since + 1800)

    async def openly(memory: MemoryDesk) -> None:
        [place] = memory.desk.queue(Filter(level="high"), AOI, offset=0, limit=9).places
        assert place.level == "high"

    play(scene, case(1, "high"))
    play(openly, case(1, "high"), model_view="before")


def test_the_desk_says_what_people_have_had_and_what_is_delayed() -> None:
    async def scene(memory: MemoryDesk) -> None:
        claim = await memory.desk.claim_next(AOI, Filter())
        assert claim is not None
        # What somebody reads, or could undo, must not tell them that it is severe.
        assert memory.desk.load(AOI).severe == 0
        await memory.pass_time(31)
        capacity = memory.desk.capacity()
        assert capacity.forecast.pace.at_work == 1
        assert capacity.forecast.delayed
        assert capacity.forecast.pace.each is None
        await memory.desk.decide(claim.case.id, Form("unsure", claim.lease), AOI)
        assert memory.desk.load(AOI).severe == 0
        await memory.pass_time(60)
        assert (memory.desk.load(AOI).severe, memory.desk.load(BEN).severe) == (1, 0)

    play(scene, case(1, "high"), case(2, "low"))


def test_the_metrics_say_what_waits_at_each_level_and_what_is_late() -> None:
    async def scene(memory: MemoryDesk) -> None:
        page = memory.metrics.expose(memory.present, ready=True).decode()
        for line in (
            'mimamori_review_open_cases{kind="escalation",task="stress"} 3.0',
            'mimamori_review_backlog_cases{level="high",task="stress"} 2.0',
            'mimamori_review_backlog_cases{level="quality_sample",task="stress"} 1.0',
            'mimamori_review_overdue_cases{level="high",task="stress"} 2.0',
            'mimamori_review_delayed_cases{level="high",task="stress"} 2.0',
            "mimamori_review_reviewers_at_work 0.0",
            "mimamori_review_pressure +Inf",
            "mimamori_review_quality_share 0.02",
        ):
            assert line in page
        oldest = next(line for line in page.splitlines() if line.startswith("mimamori_review_oldest"))
        assert float(oldest.split()[1]) > 0
        quiet = memory.metrics.expose(memory.present, ready=False).decode()
        assert "mimamori_review_backlog_cases{" not in quiet

    play(scene, case(1, "high"), case(2, "high"), case(3, "low"), sample(4))


def test_nobody_asks_for_quality_samples_or_levels_by_taking_the_next_case() -> None:
    async def scene(memory: MemoryDesk) -> None:
        for kind in ("quality_sample", "golden"):
            with pytest.raises(NotAllowedError, match="without knowing"):
                await next_of(memory, AOI, Filter(kind=kind))
        with pytest.raises(NotAllowedError, match="once you have judged"):
            await next_of(memory, AOI, Filter(level="high"))
        # Samples come out of turn: where nothing else can come, it would be one.
        for state in ("claimed", "lead"):
            with pytest.raises(NotAllowedError, match="without knowing"):
                await next_of(memory, AOI, Filter(state=state))
        # Whoever asks for escalations alone reads samples as well, since they look like some.
        taken = {await next_of(memory, who, Filter(kind="escalation")) for who in (AOI, BEN)}
        assert taken == {case(1, "high").id, sample(2).id}

    play(scene, case(1, "high"), sample(2))
