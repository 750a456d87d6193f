"""The desk as people use it: who may take which step when, what they see, and what is published."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from msgspec import structs

from review.cases.form import Form
from review.cases.keys import case_key
from review.cases.remains import forget
from review.cases.state import CaseState, Step
from review.cases.views import CaseView
from review.errors import (
    ClosedCaseError,
    ConflictError,
    DecisionRefusedError,
    HeldByAnotherError,
    InvalidFormError,
    NotAllowedError,
    NotConfirmedError,
    StaleLeaseError,
    TooManyClaimsError,
    UnknownCaseError,
)
from review.people import Person
from review.present import Present
from review.queue.order import Filter
from schemas.codec import encode
from schemas.events import CaseEvent, ReviewCase
from tests.fakes.memory_desk import LIMITS, START, MemoryDesk, person
from tests.unit.review.test_entries import CASE, JUDGED

AOI, BEN, CHI = person("aoi"), person("ben"), person("chi")
LEAD, AUDITOR = person("lena", "reviewer", "lead"), person("uma", "auditor")
OTHER = structs.replace(CASE, id="case:messages:0:8", priority=10.0)

Scene = Callable[[MemoryDesk], Awaitable[None]]


def play(scene: Scene, **rules: object) -> MemoryDesk:
    """Run a scene on a desk with two cases that wait."""
    memory = MemoryDesk(**rules)  # type: ignore[arg-type]  # passed on as they are

    async def run() -> None:
        await memory.open(CASE, OTHER)
        await scene(memory)

    asyncio.run(run())
    return memory


def waiting(memory: MemoryDesk) -> list[str]:
    shown = memory.desk.queue(Filter(), AOI, offset=0, limit=9)
    return [case.id for case in shown.cases]


def test_a_decision_is_published_once_its_undo_window_is_over() -> None:
    async def scene(memory: MemoryDesk) -> None:
        await memory.decide(CASE, AOI, "at_risk", severity="high", note="call the sister")
        await memory.pass_time(59)
        assert memory.published == []
        assert [case.id for case in memory.desk.mine(AOI)] == [CASE.id]
        await memory.pass_time(1)
        await memory.pass_time(60)

    memory = play(scene)
    [decision] = memory.published
    assert (decision.finding, decision.severity, decision.note) == ("at_risk", "high", None)
    assert (decision.reviewer, decision.case_id, decision.bundle) == ("aoi", CASE.id, CASE.bundle)
    assert [step.action for step in memory.desk.history(CASE.id)] == ["claimed", "decided", "settled"]


def test_a_note_is_published_only_where_the_house_wants_it() -> None:
    async def scene(memory: MemoryDesk) -> None:
        await memory.decide(CASE, AOI, "at_risk", severity="high", note="call the sister")
        await memory.deliver(*memory.published)
        await memory.pass_time(60)
        await memory.deliver(*memory.published)
        assert memory.desk.held() == []

    memory = play(scene, publish_notes=True)
    assert [decision.note for decision in memory.published] == ["call the sister"]


def test_what_people_type_is_read_at_the_desk_and_sealed_in_the_log() -> None:
    async def scene(memory: MemoryDesk) -> None:
        claim = await memory.desk.claim(CASE.id, AOI)
        await memory.desk.release(CASE.id, claim.lease, AOI, reason="my cousin goes there")
        await memory.decide(CASE, BEN, "at_risk", severity="high", note="call the sister")
        decided = memory.desk.find(CASE.id, BEN).decision
        assert decided is not None
        assert decided.note == "call the sister"
        await memory.pass_time(60)
        view = memory.desk.find(CASE.id, LEAD)
        assert view.decision is not None
        assert view.decision.note == "call the sister"
        assert [judged.remark for judged in view.judgements] == ["call the sister"]
        await memory.desk.reopen(CASE.id, LEAD, "the sister has called")
        view = memory.desk.find(CASE.id, CHI)
        assert (view.judgements, view.decision) == ([], None)  # a note must not sway the next reader
        assert [step.reason for step in memory.desk.history(CASE.id)] == [
            None, "my cousin goes there", None, None, None, "the sister has called",
        ]  # fmt: skip

    memory = play(scene)
    log = b"".join([*map(encode, memory.log), *map(encode, memory.published)])
    for words in (b"cousin", b"sister"):
        assert words not in log


def test_an_undone_decision_is_never_published_and_the_next_one_is() -> None:
    async def scene(memory: MemoryDesk) -> None:
        await memory.decide(CASE, AOI, "at_risk")
        with pytest.raises(NotAllowedError, match="colleague"):
            await memory.desk.undo(CASE.id, BEN)
        claim = await memory.desk.undo(CASE.id, AOI)
        await memory.pass_time(120)
        assert memory.published == []
        await memory.desk.decide(CASE.id, Form("not_at_risk", claim.lease), AOI)
        await memory.pass_time(60)
        with pytest.raises(ClosedCaseError):
            await memory.desk.undo(CASE.id, AOI)

    assert [decision.finding for decision in play(scene).published] == ["not_at_risk"]


def test_two_reviewers_never_hold_the_same_case() -> None:
    async def scene(memory: MemoryDesk) -> None:
        claims = await asyncio.gather(
            *(memory.desk.claim(CASE.id, who) for who in (AOI, BEN, CHI)), return_exceptions=True
        )
        assert [type(claim).__name__ for claim in claims] == [
            "Claim",
            "HeldByAnotherError",
            "HeldByAnotherError",
        ]
        assert waiting(memory) == [OTHER.id]

    play(scene)


def test_two_desks_that_send_a_claim_at_one_moment_have_one_holder() -> None:
    async def scene(memory: MemoryDesk) -> None:
        memory.lag = True
        mine = asyncio.create_task(memory.desk.claim(CASE.id, AOI))
        await memory.sent.wait()
        theirs = CaseEvent("other", CASE.id, 0, "claimed", "ben", START, "l", START)
        await memory.deliver(theirs)
        await memory.catch_up()
        with pytest.raises(ConflictError):
            await mine
        assert memory.desk.find(CASE.id, AOI).holder == "ben"

    play(scene)


def test_a_lease_expires_and_what_was_written_under_it_is_refused() -> None:
    async def scene(memory: MemoryDesk) -> None:
        claim = await memory.desk.claim(CASE.id, AOI)
        await memory.pass_time(500)
        extended = await memory.desk.extend(CASE.id, claim.lease, AOI)
        assert extended.until > claim.until
        await memory.pass_time(599)
        assert memory.desk.find(CASE.id, AOI).mine
        await memory.pass_time(1)
        assert waiting(memory) == [CASE.id, OTHER.id]
        with pytest.raises(StaleLeaseError):
            await memory.desk.decide(CASE.id, Form("at_risk", claim.lease), AOI)
        again = await memory.desk.claim(CASE.id, BEN)
        for step in (
            memory.desk.decide(CASE.id, Form("at_risk", again.lease), AOI),
            memory.desk.extend(CASE.id, claim.lease, AOI),
            memory.desk.release(CASE.id, again.lease, AOI),
        ):
            with pytest.raises(StaleLeaseError):
                await step

    play(scene)


def test_a_lease_by_a_clock_that_is_a_year_ahead_ends_in_its_time() -> None:
    async def scene(memory: MemoryDesk) -> None:
        until = START.replace(year=START.year + 1)
        await memory.deliver(CaseEvent("other", CASE.id, 0, "claimed", "ben", until, "l", until))
        await memory.pass_time(600)
        assert memory.desk.find(CASE.id, AOI).holder is None

    play(scene)


def test_who_holds_as_many_cases_as_they_may_gives_one_back_first() -> None:
    async def scene(memory: MemoryDesk) -> None:
        both = await asyncio.gather(
            *(memory.desk.claim(case.id, AOI) for case in (CASE, OTHER)), return_exceptions=True
        )
        assert [type(each) for each in both][1] is TooManyClaimsError
        await memory.desk.claim(OTHER.id, BEN)

    play(scene)

    async def roomy(memory: MemoryDesk) -> None:
        await asyncio.gather(*(memory.desk.claim(case.id, AOI) for case in (CASE, OTHER)))

    play(roomy, claims=2)


def test_the_next_case_is_the_most_urgent_that_this_person_may_take() -> None:
    async def scene(memory: MemoryDesk) -> None:
        first = await memory.desk.claim_next(AOI, Filter())
        second = await memory.desk.claim_next(BEN, Filter())
        assert first is not None
        assert second is not None
        assert (first.case.id, second.case.id) == (CASE.id, OTHER.id)
        assert await memory.desk.claim_next(CHI, Filter()) is None
        await memory.desk.release(CASE.id, first.lease, AOI, reason="language")
        assert await memory.desk.claim_next(AOI, Filter()) is None  # they have just put it back
        assert await memory.desk.claim_next(CHI, Filter()) is not None
        with pytest.raises(NotAllowedError):
            await memory.desk.claim_next(AUDITOR, Filter())

    play(scene)


def test_a_case_is_handed_over_and_waits_an_hour_for_that_colleague() -> None:
    async def scene(memory: MemoryDesk) -> None:
        claim = await memory.desk.claim(CASE.id, AOI)
        await memory.desk.release(CASE.id, claim.lease, AOI, reason="language", reader="chi")
        with pytest.raises(HeldByAnotherError, match="handed over"):
            await memory.desk.claim(CASE.id, BEN)
        await memory.pass_time(3600)
        await memory.desk.claim(CASE.id, BEN)

    play(scene)


def test_unsure_goes_to_a_second_reader_and_then_to_a_lead() -> None:
    async def scene(memory: MemoryDesk) -> None:
        await memory.decide(CASE, AOI, "unsure")
        await memory.pass_time(60)
        with pytest.raises(NotAllowedError, match="judged"):
            await memory.desk.claim(CASE.id, AOI)
        await memory.decide(CASE, BEN, "unsure")
        await memory.pass_time(60)
        with pytest.raises(NotAllowedError, match="lead"):
            await memory.desk.claim(CASE.id, CHI)
        assert memory.published == []
        await memory.decide(CASE, LEAD, "unsure")
        await memory.pass_time(60)

    memory = play(scene)
    assert [(made.reviewer, made.finding, made.supersedes) for made in memory.published] == [
        ("lena", "unsure", None)
    ]
    judged = memory.desk.find(CASE.id, AOI).judgements
    assert [(each.reader, each.published) for each in judged] == [
        ("aoi", False),
        ("ben", False),
        ("lena", True),
    ]


@pytest.mark.parametrize("again", ["reopen", "appeal"])
def test_a_lead_asks_again_and_the_next_decision_supersedes(again: str) -> None:
    async def scene(memory: MemoryDesk) -> None:
        ask = getattr(memory.desk, again)
        with pytest.raises(ConflictError, match="open"):
            await ask(CASE.id, LEAD, "a colleague called")
        await memory.decide(CASE, AOI, "not_at_risk")
        with pytest.raises(ConflictError):
            await ask(CASE.id, LEAD, "a colleague called")
        await memory.pass_time(60)
        with pytest.raises(NotAllowedError):
            await ask(CASE.id, BEN, "a colleague called")
        with pytest.raises(InvalidFormError):
            await ask(CASE.id, LEAD, "  ")
        await ask(CASE.id, LEAD, "a colleague called")
        assert waiting(memory) == [CASE.id, OTHER.id]
        with pytest.raises(NotAllowedError, match="judged"):
            await memory.desk.claim(CASE.id, AOI)
        await memory.decide(CASE, BEN, "at_risk")
        await memory.pass_time(60)

    first, second = play(scene).published
    assert (first.supersedes, second.supersedes) == (None, first.id)
    assert first.id != second.id


def test_the_model_is_seen_once_a_judgement_stands_and_a_sample_looks_like_any_case() -> None:
    async def scene(memory: MemoryDesk) -> None:
        sample = structs.replace(CASE, id="case:messages:0:9", kind="quality_sample", verdict="clear")
        await memory.open(sample)
        views = [(await memory.desk.claim(case.id, AOI)).case for case in (CASE, sample)]
        assert [(view.kind, view.model) for view in views] == [("escalation", None)] * 2
        assert {len(str(view)) for view in views} == {len(str(views[0]))}
        await memory.desk.decide(sample.id, Form("not_at_risk", _lease(memory, sample)), AOI)
        assert (memory.desk.find(sample.id, AOI).kind, memory.desk.find(sample.id, AOI).model) == (
            "escalation",
            None,
        )
        await memory.pass_time(60)
        model = memory.desk.find(sample.id, AOI).model
        assert model is not None
        assert (model.kind, model.verdict) == ("quality_sample", "clear")

    play(scene, claims=2)


def test_nobody_decides_looks_at_the_model_and_decides_again() -> None:
    """What the figures count, and what is published, was found without the model's view."""

    async def scene(memory: MemoryDesk) -> None:
        sample = structs.replace(CASE, id="case:messages:0:9", kind="quality_sample", verdict="clear")
        await memory.open(sample)
        for case in (CASE, sample):
            await memory.decide(case, AOI, "at_risk")
            for who in (AOI, BEN, LEAD, AUDITOR):
                assert memory.desk.find(case.id, who).model is None, who
            claim = await memory.desk.undo(case.id, AOI)
            assert claim.case.model is None
            await memory.desk.decide(case.id, Form("not_at_risk", claim.lease), AOI)
            await memory.pass_time(60)
            for who in (AOI, LEAD, AUDITOR):
                assert memory.desk.find(case.id, who).model is not None, who

    play(scene)


@pytest.mark.parametrize("first", ["unsure", "not_at_risk"])
@pytest.mark.parametrize("second", [BEN, LEAD])
def test_a_second_reader_sees_nothing_of_the_first(first: str, second: Person) -> None:
    """Neither what the first found, nor, as a reviewer, that there was one: unsure, or asked at random."""

    def seen(memory: MemoryDesk) -> CaseView:
        shown = memory.desk.find(CASE.id, second)
        assert (shown.model, shown.decision, shown.judgements, shown.raised) == (None, None, [], [])
        return shown

    async def scene(memory: MemoryDesk) -> None:
        state = memory.table.entries[key := case_key(CASE.id)]
        untouched = (await memory.desk.claim(CASE.id, second)).case
        await memory.desk.release(CASE.id, untouched.lease or "", LEAD)
        await memory.table.put(key, state, over=memory.table.get(key))
        await memory.decide(CASE, AOI, first, note="I know her")  # type: ignore[arg-type]  # a finding
        seen(memory)
        await memory.pass_time(60)
        if second is BEN:  # a lead sees what stands, for as long as it does
            seen(memory)
        await memory.pass_time(1)
        assert seen(memory).phase == "waiting"  # asked again, as the share of double readings is 1
        places = memory.desk.queue(Filter(), BEN, offset=0, limit=9).places
        assert {place.state for place in places} == {"waiting"}
        assert {place.since for place in places} == {CASE.opened_at.timestamp()}
        with pytest.raises(NotAllowedError, match="without knowing"):
            memory.desk.queue(Filter(state="second"), BEN, offset=0, limit=9)
        claimed = (await memory.desk.claim(CASE.id, second)).case
        seen(memory)
        assert [step.action for step in claimed.history] == ["claimed"]
        if second is BEN:
            times: dict[str, object] = {"history": [], "until": None, "lease": None}
            assert structs.replace(claimed, **times) == structs.replace(untouched, **times)
        lease = claimed.lease or ""
        await memory.desk.decide(CASE.id, Form("not_at_risk", lease), second)
        assert [step.action for step in memory.desk.find(CASE.id, second).history] == ["claimed", "decided"]
        await memory.pass_time(60)
        assert len(memory.desk.find(CASE.id, second).judgements) == 2

    play(scene, double_share=1.0, claims=2)


def test_why_a_case_comes_first_is_told_once_it_is_judged_and_counts_before() -> None:
    """The desk raises what the model found at risk: to say so would be to say what it found."""

    async def scene(memory: MemoryDesk) -> None:
        cases = [structs.replace(CASE, id=f"case:messages:0:{n}", author_id="a-1") for n in (21, 22, 23)]
        await memory.open(*cases)
        assert waiting(memory)[:3] == [case.id for case in cases]
        raised = cases[1]
        found = [memory.desk.find(raised.id, AOI), (await memory.desk.claim(raised.id, AOI)).case]
        lease = found[1].lease or ""
        assert [(view.raised, view.repeats) for view in found] == [([], {})] * 2
        assert "raised" not in {step.action for view in found for step in view.history}
        assert {place.raised for place in memory.desk.queue(Filter(), AOI, offset=0, limit=9).places} == {
            None
        }
        [*_, place] = memory.desk.queue(Filter(state="claimed"), LEAD, offset=0, limit=9).places
        assert place.raised
        await memory.desk.decide(raised.id, Form("at_risk", lease), AOI)
        assert memory.desk.find(raised.id, AOI).raised == []
        await memory.pass_time(60)
        judged = memory.desk.find(raised.id, AOI)
        assert (judged.raised, judged.repeats) == (["author"], {"author": 3})
        # A lead is told what orders the queue, and not of the case that they judge.
        assert memory.desk.find(cases[0].id, LEAD).raised == ["author"]
        assert (await memory.desk.claim(cases[0].id, LEAD)).case.raised == []
        assert "raised" in {step.action for step in judged.history}

    play(scene)

    async def openly(memory: MemoryDesk) -> None:
        cases = [structs.replace(CASE, id=f"case:messages:0:{n}", author_id="a-1") for n in (21, 22, 23)]
        await memory.open(*cases)
        assert memory.desk.find(cases[0].id, AOI).raised == ["author"]

    play(openly, model_view="before")


def test_nobody_knows_beforehand_which_cases_somebody_else_will_read() -> None:
    """The draw follows from the moment when a decision is settled, so that it is the same after a restart."""
    settled = CaseState(CASE, 0, phase="settled", judgements=[JUDGED])
    drawn = []
    for second in range(100):
        step = Step("settled", "desk", START.replace(microsecond=second))
        state = structs.replace(settled, history=[step])
        present = [Present(LIMITS, lambda: START, double_share=0.5) for _ in range(2)]
        assert present[0].wants_second_reader(state) == present[1].wants_second_reader(state)
        drawn.append(present[0].wants_second_reader(state))
    assert 20 < sum(drawn) < 80


def test_with_the_setting_the_model_is_seen_before_but_samples_stay_blind() -> None:
    async def scene(memory: MemoryDesk) -> None:
        await memory.open(structs.replace(CASE, id="case:messages:0:9", kind="golden"))
        assert memory.desk.find(CASE.id, AOI).model is not None
        assert memory.desk.find("case:messages:0:9", AOI).model is None

    play(scene, model_view="before")


def test_a_text_is_read_by_who_holds_the_case_has_judged_it_or_leads() -> None:
    async def scene(memory: MemoryDesk) -> None:
        for who in (AOI, BEN, AUDITOR):
            with pytest.raises(NotAllowedError):
                await memory.desk.reveal(CASE.id, who)
        await memory.desk.claim(CASE.id, AOI)
        assert await memory.desk.reveal(CASE.id, AOI) == CASE.text
        assert await memory.desk.reveal(CASE.id, LEAD) == CASE.text
        with pytest.raises(NotAllowedError):
            await memory.desk.reveal(CASE.id, BEN)

    play(scene)


def test_where_kafka_is_down_nothing_counts_and_nothing_stays_locked() -> None:
    async def scene(memory: MemoryDesk) -> None:
        memory.down = True
        with pytest.raises(NotConfirmedError, match="as it was"):
            await memory.desk.claim(CASE.id, AOI)
        memory.down, memory.lag = False, True
        with pytest.raises(NotConfirmedError, match="look at the case"):
            await memory.desk.claim(CASE.id, AOI)
        memory.lag = False
        await memory.catch_up()  # it counts after all
        assert memory.desk.find(CASE.id, AOI).mine
        memory.down = True
        await memory.pass_time(600)
        assert memory.desk.find(CASE.id, AOI).mine
        memory.down = False
        await memory.pass_time(1)
        assert not memory.desk.find(CASE.id, AOI).mine

    play(scene, confirm_seconds=0.05)


@pytest.mark.parametrize("case_id", ["case:messages:0:99", "nothing", "", "case:\x00"])
def test_a_case_that_nobody_knows_is_unknown(case_id: str) -> None:
    async def scene(memory: MemoryDesk) -> None:
        for step in (
            memory.desk.claim(case_id, AOI),
            memory.desk.decide(case_id, Form("at_risk", "l"), AOI),
            memory.desk.undo(case_id, AOI),
            memory.desk.reopen(case_id, LEAD, "why"),
            memory.desk.discard(case_id, LEAD),
        ):
            with pytest.raises(UnknownCaseError):
                await step

    assert play(scene).log == []


def test_a_closed_case_takes_no_step_but_to_be_reopened() -> None:
    async def scene(memory: MemoryDesk) -> None:
        await memory.decide(CASE, AOI, "at_risk")
        lease = memory.log[0].lease or ""
        for _ in range(2):
            for step in (
                memory.desk.claim(CASE.id, BEN),
                memory.desk.decide(CASE.id, Form("not_at_risk", lease), AOI),
                memory.desk.extend(CASE.id, lease, AOI),
                memory.desk.release(CASE.id, lease, AOI),
            ):
                with pytest.raises(ClosedCaseError):
                    await step
            await memory.pass_time(60)

    assert len(play(scene).published) == 1


def test_a_case_arrives_again_with_other_content_and_nothing_changes() -> None:
    async def scene(memory: MemoryDesk) -> None:
        claim = await memory.desk.claim(CASE.id, AOI)
        await memory.open(structs.replace(CASE, text="something else", priority=0.0))
        assert await memory.desk.reveal(CASE.id, AOI) == CASE.text
        await memory.desk.decide(CASE.id, Form("at_risk", claim.lease), AOI)
        await memory.pass_time(60)
        await memory.open(CASE)
        assert waiting(memory) == [OTHER.id]

    play(scene)


def test_every_refusal_has_a_sentence_and_a_status() -> None:
    for refusal in DecisionRefusedError.__subclasses__():
        assert 400 <= refusal.status < 600
        assert refusal.__doc__


def _lease(memory: MemoryDesk, case: ReviewCase) -> str:
    return next(event.lease or "" for event in memory.log if event.case_id == case.id)


@pytest.mark.parametrize("reader", ["", "x" * 257, "ben\n"])
def test_a_case_is_handed_to_nobody_who_can_not_exist(reader: str) -> None:
    async def scene(memory: MemoryDesk) -> None:
        claim = await memory.desk.claim(CASE.id, AOI)
        with pytest.raises(InvalidFormError, match="reader"):
            await memory.desk.release(CASE.id, claim.lease, AOI, reader=reader)
        assert memory.desk.find(CASE.id, AOI).mine

    play(scene)


def test_a_case_whose_step_never_comes_back_does_not_hold_up_the_others() -> None:
    async def scene(memory: MemoryDesk) -> None:
        await memory.desk.claim(CASE.id, AOI)
        await memory.pass_time(1)
        await memory.desk.claim(OTHER.id, BEN)
        memory.lost.add(CASE.id)
        await memory.pass_time(600)
        await memory.pass_time(1)
        assert memory.desk.find(CASE.id, AOI).phase == "claimed"
        assert memory.desk.find(OTHER.id, BEN).phase == "waiting"

    play(scene, confirm_seconds=0.05)


def test_a_step_on_a_case_that_was_forgotten_meanwhile_is_answered_at_once() -> None:
    async def scene(memory: MemoryDesk) -> None:
        await memory.decide(CASE, AOI, "at_risk")
        await memory.pass_time(60)
        memory.lag = True
        memory.sent.clear()
        asked = asyncio.create_task(memory.desk.reopen(CASE.id, LEAD, "look again"))
        await memory.sent.wait()
        key = case_key(CASE.id)
        state = memory.table.entries[key]
        assert isinstance(state, CaseState)
        await memory.table.put(key, forget(state), over=state)
        await memory.catch_up()
        with pytest.raises(ConflictError):
            await asked

    play(scene, confirm_seconds=60)


def test_setting_held_events_aside_is_in_the_audit_log() -> None:
    async def scene(memory: MemoryDesk) -> None:
        await memory.desk.claim(CASE.id, AOI)
        [claimed] = memory.log
        await memory.deliver(structs.replace(claimed, id="case-event:forged", case_id="case:messages:0:99"))
        await memory.desk.discard("case:messages:0:99", LEAD)
        assert memory.desk.held() == []
        discarded = memory.log[-1]
        # Somebody sends another forgery, and the signed discard once more.
        await memory.deliver(structs.replace(claimed, id="case-event:worse", case_id="case:messages:0:99"))
        await memory.deliver(discarded)
        assert len(memory.desk.held()) == 1

    assert play(scene).audited == ["claimed", "discarded"]


def test_a_second_reader_who_never_comes_is_replaced_by_a_lead_even_the_first_reader() -> None:
    """Somebody alone at the desk, who is also its lead, can always end a case."""

    async def scene(memory: MemoryDesk) -> None:
        await memory.decide(CASE, LEAD, "unsure")
        await memory.pass_time(60)
        assert memory.desk.find(CASE.id, LEAD).stage == "second"
        with pytest.raises(NotAllowedError):
            await memory.desk.claim(CASE.id, LEAD)
        await memory.pass_time(4 * 3600 - 1)
        assert memory.desk.find(CASE.id, LEAD).stage == "second"
        await memory.pass_time(1)
        assert memory.desk.find(CASE.id, LEAD).stage == "lead"
        with pytest.raises(NotAllowedError):
            await memory.desk.claim(CASE.id, AOI)
        await memory.decide(CASE, LEAD, "at_risk")
        await memory.pass_time(60)

    assert [decision.finding for decision in play(scene).published] == ["at_risk"]


def test_a_second_reader_who_comes_in_time_is_not_replaced() -> None:
    async def scene(memory: MemoryDesk) -> None:
        await memory.decide(CASE, AOI, "unsure")
        await memory.pass_time(60)
        claim = await memory.desk.claim(CASE.id, BEN)
        await memory.pass_time(5)
        assert memory.desk.find(CASE.id, LEAD).stage == "second"
        await memory.desk.decide(CASE.id, Form("at_risk", claim.lease), BEN)
        await memory.pass_time(4 * 3600)

    assert [decision.reviewer for decision in play(scene).published] == ["ben"]
