"""Words are forgotten in their time, on the broker's disk too; and nobody can hide a case by that."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest
from msgspec.structs import replace

from review.cases.entries import Entry, Erasure
from review.cases.form import Form
from review.cases.keys import case_key, erasure_key, sweep_key
from review.cases.remains import Decided
from review.cases.state import CaseState, Step
from review.errors import ClosedCaseError
from review.people import Person
from review.retention.forgetting import digest_of, erasure_id, parse_erasure
from schemas.codec import encode
from schemas.events import CaseEvent, ReviewCase
from schemas.vocabulary import CaseAction
from tests.fakes.memory_desk import KEEP, LAGS, START, MemoryDesk, person, record
from tests.unit.review.test_entries import CASE as PLAIN

AOI, BEN, LEAD = person("aoi"), person("ben"), person("lea", "lead")
TYPED = "he wrote that the kettle is the only one who hears him"
CASE = replace(PLAIN, author_id="author-1", conversation_id="talk-1", sent_at=START - timedelta(hours=1))
KEY = case_key(CASE.id)
NAME = CASE.id.encode()
HOURS = 3600.0


def play(
    scene: Callable[[MemoryDesk], Awaitable[None]], *, first: tuple[ReviewCase, ...] = (CASE,)
) -> MemoryDesk:
    memory = MemoryDesk()

    async def run() -> None:
        await memory.open(*first)
        await scene(memory)

    asyncio.run(run())
    return memory


async def settle(memory: MemoryDesk) -> None:
    await memory.decide(CASE, AOI, "not_at_risk")
    await memory.pass_time(60)
    assert memory.forgotten == []


def entry(memory: MemoryDesk) -> CaseState:
    found = memory.table.get(KEY)
    assert isinstance(found, CaseState)
    return found


def asked(memory: MemoryDesk, what: str = "message", wanted: str = CASE.message_id) -> CaseEvent:
    assert what in {"message", "author"}
    case_id = erasure_id(what, wanted)  # type: ignore[arg-type]  # checked above
    return CaseEvent(f"erasure:{len(memory.log)}", case_id, 0, "erased", "dana", memory.now)


def test_after_its_time_the_broker_is_told_once_and_a_marker_without_words_remains() -> None:
    async def scene(memory: MemoryDesk) -> None:
        await settle(memory)
        await memory.pass_time(KEEP.total_seconds() - 1)
        assert memory.forgotten == []
        assert entry(memory).case.text == CASE.text
        await memory.pass_time(1)
        await memory.pass_time(2)

    memory = play(scene)
    assert memory.forgotten == [NAME]
    assert isinstance(memory.table.get(KEY), Decided)
    assert memory.desk is not None
    with pytest.raises(ClosedCaseError):
        memory.desk.find(CASE.id, LEAD)


def test_a_case_that_is_reopened_in_time_keeps_its_words_until_the_next_decision_is_old() -> None:
    async def scene(memory: MemoryDesk) -> None:
        await settle(memory)
        await memory.desk.reopen(CASE.id, LEAD, "looked at the wrong message")
        await memory.pass_time(KEEP.total_seconds() * 2)
        assert await memory.desk.reveal(CASE.id, LEAD) == CASE.text

    assert play(scene).forgotten == []


@pytest.mark.parametrize("decided", [False, True])
def test_a_null_value_that_nobody_owes_hides_no_case_and_takes_no_words(*, decided: bool) -> None:
    """Whoever may write cases may write null values, too."""

    async def scene(memory: MemoryDesk) -> None:
        if decided:
            await settle(memory)
        before = entry(memory)
        await memory.agents.on_case(record("review-cases", CASE.id, None))
        assert entry(memory) == before
        assert memory.desk.find(CASE.id, LEAD).id == CASE.id

    play(scene)


def test_a_case_that_comes_again_after_it_was_forgotten_is_forgotten_again() -> None:
    async def scene(memory: MemoryDesk) -> None:
        await settle(memory)
        await memory.pass_time(KEEP.total_seconds())
        await memory.open(CASE)
        assert isinstance(memory.table.get(KEY), Decided)
        await memory.pass_time(61)

    memory = play(scene)
    assert memory.forgotten == [NAME, NAME]
    assert memory.due is not None
    assert list(memory.due.now(memory.now)) == []


def test_a_desk_that_died_before_the_null_value_came_back_tells_it_again() -> None:
    async def scene(memory: MemoryDesk) -> None:
        await settle(memory)
        memory.deaf = True
        await memory.pass_time(KEEP.total_seconds())
        await memory.pass_time(1)
        assert memory.forgotten == [NAME]  # not every second
        memory.deaf = False
        await memory.pass_time(60)

    memory = play(scene)
    assert memory.forgotten == [NAME, NAME]
    assert isinstance(memory.table.get(KEY), Decided)


def test_what_the_broker_could_not_be_told_is_told_in_the_next_round() -> None:
    async def scene(memory: MemoryDesk) -> None:
        await settle(memory)
        memory.mute = True
        with pytest.raises(ConnectionError):
            await memory.pass_time(KEEP.total_seconds())
        memory.mute = False
        await memory.pass_time(1)

    memory = play(scene)
    assert memory.forgotten == [NAME]
    assert isinstance(memory.table.get(KEY), Decided)


def test_a_quiet_partition_is_swept_after_each_lag_and_then_left_alone() -> None:
    """Without a later record, Kafka never closes the segment that holds the words."""

    async def scene(memory: MemoryDesk) -> None:
        await settle(memory)
        await memory.pass_time(KEEP.total_seconds())
        await memory.pass_time(LAGS[0].total_seconds())
        assert memory.forgotten == [NAME]
        await memory.pass_time(1)
        assert memory.forgotten == [NAME, sweep_key(0)]
        assert memory.table.compacted == []
        await memory.pass_time(LAGS[1].total_seconds())
        await memory.pass_time(24 * HOURS)

    memory = play(scene)
    assert memory.forgotten == [NAME, sweep_key(0), sweep_key(0)]
    assert memory.table.get(sweep_key(0)) is None
    assert memory.table.compacted == [0]


def test_what_is_told_a_moment_after_a_sweep_is_swept_as_well() -> None:
    other = replace(CASE, id="case:messages:0:8", message_id="m-8")

    async def scene(memory: MemoryDesk) -> None:
        memory.due._lags = memory.forgetting._lags = (timedelta(seconds=1),)
        for message in (CASE.message_id, "m-8"):
            await memory.deliver(asked(memory, "message", message))
            await memory.pass_time(1)
            await memory.pass_time(2)

    memory = play(scene, first=(CASE, other))
    assert memory.forgotten == [NAME, sweep_key(0), other.id.encode(), sweep_key(0)]


def test_an_erased_case_loses_its_words_at_once_and_stays_open() -> None:
    async def scene(memory: MemoryDesk) -> None:
        claim = await memory.desk.claim(CASE.id, AOI)
        await memory.deliver(asked(memory))
        state = entry(memory)
        assert (state.case.text, state.case.author_id, state.case.conversation_id) == (None, None, None)
        assert (state.phase, state.case.message_id) == ("claimed", CASE.message_id)
        assert CASE.text is not None
        assert not any(holds(kept, CASE.text) for kept in memory.table.entries.values())
        await memory.pass_time(1)
        assert memory.forgotten == [NAME]
        await memory.desk.release(CASE.id, claim.lease, AOI)
        assert memory.desk.find(CASE.id, LEAD).id == CASE.id
        await memory.pass_time(24 * HOURS)

    memory = play(scene)
    assert memory.forgotten.count(NAME) == 1
    assert memory.erased == [CASE.id, None]


def remarks(memory: MemoryDesk, who: Person = LEAD) -> list[str | None]:
    """Everything that people typed about the case, as it is shown."""
    view = memory.desk.find(CASE.id, who)
    return [
        *(step.reason for step in view.history if step.action in {"released", "reopened", "appealed"}),
        *(judged.remark for judged in view.judgements),
        view.decision.note if view.decision else None,
    ]


async def typed(memory: MemoryDesk) -> None:
    """Somebody skips, decides, reopens and decides again, and types each time."""
    claim = await memory.desk.claim(CASE.id, AOI)
    await memory.desk.release(CASE.id, claim.lease, AOI, reason=f"1 {TYPED}")
    await memory.decide(CASE, AOI, "not_at_risk", note=f"2 {TYPED}")
    await memory.pass_time(60)
    await memory.desk.reopen(CASE.id, LEAD, f"3 {TYPED}")
    await memory.decide(CASE, BEN, "not_at_risk", note=f"4 {TYPED}")
    await memory.pass_time(60)
    await memory.desk.appeal(CASE.id, LEAD, f"5 {TYPED}")
    await memory.decide(CASE, LEAD, "not_at_risk", note=f"6 {TYPED}")
    await memory.pass_time(60)


def test_an_erasure_takes_what_people_typed_and_the_key_of_what_the_log_holds() -> None:
    async def scene(memory: MemoryDesk) -> None:
        await typed(memory)
        said = remarks(memory)
        assert {(each or "")[2:] for each in said} == {TYPED}
        assert len(said) == 7  # 1, 3 and 5 in the history; 2, 4 and 6 as judged; and the one that stands
        key = entry(memory).remarks_key
        await memory.deliver(asked(memory))
        assert remarks(memory) == [None] * 7
        assert key is not None
        assert not any(holds(kept, key) for kept in memory.table.entries.values())
        log = b"".join([*map(encode, memory.log), *map(encode, memory.published)])
        assert TYPED.encode() not in log

    memory = play(scene)
    assert len(memory.published) == 3


def test_what_is_typed_after_an_erasure_is_kept_like_any_other() -> None:
    async def scene(memory: MemoryDesk) -> None:
        await memory.deliver(asked(memory))
        claim = await memory.desk.claim(CASE.id, AOI)
        await memory.desk.release(CASE.id, claim.lease, AOI, reason="there is nothing to read")
        assert remarks(memory) == ["there is nothing to read", None]

    play(scene)


def test_a_note_that_is_on_its_way_while_its_case_is_erased_is_never_read_again() -> None:
    async def scene(memory: MemoryDesk) -> None:
        claim = await memory.desk.claim(CASE.id, AOI)
        memory.lag = True
        memory.sent.clear()
        deciding = asyncio.create_task(
            memory.desk.decide(CASE.id, Form("not_at_risk", claim.lease, note=TYPED), AOI)
        )
        await memory.sent.wait()
        await memory.deliver(asked(memory))
        await memory.catch_up()
        view = await deciding
        assert view.decision is not None
        assert view.decision.note is None

    play(scene)


def test_what_is_typed_about_a_case_of_an_earlier_desk_is_kept_too() -> None:
    """It has no key for remarks yet, and the log may not hold them without one."""

    async def without_key(memory: MemoryDesk) -> None:
        await memory.table.put(KEY, replace(entry(memory), remarks_key=None), over=entry(memory))

    async def scene(memory: MemoryDesk) -> None:
        claim = await memory.desk.claim(CASE.id, AOI)
        await without_key(memory)
        await memory.desk.release(CASE.id, claim.lease, AOI, reason=f"1 {TYPED}")
        assert f"1 {TYPED}" in remarks(memory)
        claim = await memory.desk.claim(CASE.id, AOI)
        await without_key(memory)
        await memory.desk.decide(CASE.id, Form("not_at_risk", claim.lease, note=f"2 {TYPED}"), AOI)
        await memory.pass_time(60)
        assert f"2 {TYPED}" in remarks(memory)
        await without_key(memory)
        await memory.desk.reopen(CASE.id, LEAD, f"3 {TYPED}")
        assert memory.desk.history(CASE.id)[-1].reason == f"3 {TYPED}"
        assert memory.audited == ["claimed", "released", "claimed", "decided", "settled", "reopened"]

    play(scene)


def test_what_was_typed_before_desks_sealed_it_goes_from_the_table_as_well() -> None:
    def old(action: CaseAction, reason: str) -> Step:
        return Step(action, "aoi", START, reason)

    steps = [
        old("released", TYPED), old("released", "language"), old("raised", "author:3"),
        old("reopened", "double_review"), old("appealed", "again"), old("decided", "by_lead"),
    ]  # fmt: skip

    async def scene(memory: MemoryDesk) -> None:
        await memory.decide(CASE, AOI, "not_at_risk")
        pending = entry(memory).pending
        assert pending is not None
        before = replace(entry(memory), history=steps, pending=replace(pending, note=TYPED))
        await memory.table.put(KEY, before, over=entry(memory))
        await memory.deliver(asked(memory))
        assert [step.reason for step in entry(memory).history] == [
            None, "language", "author:3", "double_review", None, "by_lead",
        ]  # fmt: skip
        assert not any(holds(kept, TYPED) for kept in memory.table.entries.values())
        await memory.pass_time(60)

    assert len(play(scene).published) == 1


def test_remarks_go_with_the_words_of_a_decided_case() -> None:
    async def scene(memory: MemoryDesk) -> None:
        await memory.decide(CASE, AOI, "not_at_risk", note=TYPED)
        await memory.pass_time(60)
        key = entry(memory).remarks_key
        await memory.pass_time(KEEP.total_seconds())
        marker = memory.table.get(KEY)
        assert isinstance(marker, Decided)
        assert marker.summary is not None
        assert [judged.remark for judged in marker.summary.judgements] == [None]
        assert key is not None
        assert not holds(marker, key)

    play(scene)


def test_erasing_again_changes_nothing_and_is_answered_again() -> None:
    async def scene(memory: MemoryDesk) -> None:
        await memory.deliver(asked(memory))
        await memory.pass_time(1)
        await memory.deliver(asked(memory))
        await memory.pass_time(61)

    memory = play(scene)
    assert memory.erased == [CASE.id, None, CASE.id, None]
    assert entry(memory).case.text is None


def test_a_decided_case_is_erased_before_its_time() -> None:
    async def scene(memory: MemoryDesk) -> None:
        await settle(memory)
        await memory.deliver(asked(memory, "author", "author-1"))
        await memory.pass_time(1)

    memory = play(scene)
    assert memory.forgotten == [NAME]
    assert isinstance(memory.table.get(KEY), Decided)


def test_a_case_that_is_read_only_after_its_erasure_arrives_without_words() -> None:
    async def scene(memory: MemoryDesk) -> None:
        await memory.deliver(asked(memory))
        await memory.open(CASE)
        assert entry(memory).case.text is None
        await memory.pass_time(1)

    memory = play(scene, first=())
    assert memory.forgotten == [NAME]


def test_what_an_author_sends_after_the_erasure_is_theirs_to_be_helped_with() -> None:
    at = START + timedelta(hours=1)
    later = replace(CASE, sent_at=at, opened_at=at)

    async def scene(memory: MemoryDesk) -> None:
        await memory.deliver(asked(memory, "author", "author-1"))
        await memory.open(later)
        assert entry(memory).case.text == CASE.text

    play(scene, first=())


def test_an_author_whose_clock_runs_ahead_is_erased_as_well() -> None:
    """A message cannot have been sent after its case opened, whatever its sender's clock said."""
    ahead = replace(CASE, sent_at=START + timedelta(minutes=3), opened_at=START)

    async def scene(memory: MemoryDesk) -> None:
        step = asked(memory, "author", "author-1")
        what, digest = parse_erasure(step.case_id) or ("author", "")
        meant = memory.forgetting.meant(Erasure(what, digest, -1, step.at))
        assert [state.case.id async for _, state in meant] == [CASE.id]
        await memory.deliver(step)
        assert (entry(memory).case.text, entry(memory).case.author_id) == (None, None)

    play(scene, first=(ahead,))


def test_others_keep_their_words() -> None:
    async def scene(memory: MemoryDesk) -> None:
        await memory.deliver(asked(memory, "author", "author-2"), asked(memory, "message", "m-8"))
        assert entry(memory).case == CASE
        assert memory.erased == [None, None]

    play(scene)


def test_an_erasure_keeps_no_id_of_what_it_erased() -> None:
    async def scene(memory: MemoryDesk) -> None:
        step = asked(memory, "author", "author-1")
        await memory.deliver(step)
        assert b"author-1" not in encode(step)
        key = erasure_key(0, "author", digest_of("author", "author-1"))
        assert not holds(memory.table.entries[key], "author-1")

    play(scene)


def test_an_erasure_of_no_known_form_changes_nothing() -> None:
    async def scene(memory: MemoryDesk) -> None:
        for case_id in (CASE.id, "erasure:everything:0", "erasure:message:", "erasure:"):
            await memory.deliver(CaseEvent("erasure:1", case_id, 0, "erased", "dana", memory.now))
        assert entry(memory).case == CASE

    play(scene)


def test_every_accepted_step_is_written_down_and_no_other() -> None:
    async def scene(memory: MemoryDesk) -> None:
        await settle(memory)
        await memory.deliver(*memory.log)

    assert play(scene).audited == ["claimed", "decided", "settled"]


def holds(kept: Entry, words: str) -> bool:
    return words in repr(kept)
