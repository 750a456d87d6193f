"""The desk's agents run at the same time and share its table: no one's write undoes another's step."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import faust
import pytest
from faust.types import TP
from msgspec.structs import replace
from structlog.testing import capture_logs

from review.cases.entries import encode_entry
from review.cases.form import Form
from review.cases.held import Held, digest_of_held
from review.cases.keys import case_key, held_key
from review.cases.remains import Decided
from review.cases.state import CaseState, Step
from review.errors import ClosedCaseError, ConflictError
from review.kafka.changelog import stamped
from review.kafka.table import CaseTable, ChangedMeanwhileError
from review.retention.cipher import Cipher, Key
from review.retention.forgetting import erasure_id
from schemas.codec import encode
from schemas.events import CaseEvent, ReviewCase
from tests.fakes.memory_desk import KEEP, START, MemoryDesk, person, record
from tests.unit.review.test_entries import CASE as PLAIN

AOI, LEAD = person("aoi"), person("lea", "lead")
CASE = replace(PLAIN, author_id="author-1", conversation_id="talk-1", sent_at=START - timedelta(hours=1))
KEY = case_key(CASE.id)


def play(scene: Callable[[MemoryDesk], Awaitable[None]], *first: ReviewCase) -> MemoryDesk:
    memory = MemoryDesk()

    async def run() -> None:
        await memory.open(*(first or (CASE,)))
        await scene(memory)

    asyncio.run(run())
    return memory


def case(memory: MemoryDesk) -> CaseState:
    found = memory.table.get(KEY)
    assert isinstance(found, CaseState)
    return found


def null(memory: MemoryDesk) -> asyncio.Task[None]:
    """The broker has been told to forget the case, and that comes back."""
    return asyncio.create_task(memory.receive(record("review-cases", CASE.id, None)))


async def begun(task: asyncio.Task[None]) -> None:
    """As far as it comes without Kafka."""
    await asyncio.wait([task], timeout=0)
    await asyncio.sleep(0)


async def all_done(memory: MemoryDesk, *tasks: asyncio.Task[None]) -> None:
    memory.table.acknowledged.set()
    memory.auditing.set()
    await asyncio.gather(*tasks)


def erasure(memory: MemoryDesk) -> CaseEvent:
    return CaseEvent("erasure:1", erasure_id("message", CASE.message_id), 0, "erased", "dana", memory.now)


@pytest.mark.parametrize("erased", [True, False])
def test_a_decision_stands_that_is_taken_while_its_case_is_forgotten(*, erased: bool) -> None:
    async def scene(memory: MemoryDesk) -> None:
        claim = await memory.desk.claim(CASE.id, AOI)
        if erased:
            await memory.deliver(erasure(memory))
        memory.table.acknowledged.clear()
        forgetting = null(memory)
        await begun(forgetting)
        form = Form("at_risk", claim.lease, severity="high")
        memory.sent.clear()
        deciding = asyncio.create_task(memory.desk.decide(CASE.id, form, AOI))
        await memory.sent.wait()
        assert case(memory).phase == "decided"  # the step is accepted, and Kafka has not acknowledged it
        await all_done(memory, forgetting)
        assert (await deciding).phase == "decided"
        assert case(memory).phase == "decided"
        await memory.pass_time(60)

    memory = play(scene)
    assert [decision.finding for decision in memory.published] == ["at_risk"]


def test_who_appeals_while_a_case_is_forgotten_is_told_that_it_is() -> None:
    async def scene(memory: MemoryDesk) -> None:
        await memory.decide(CASE, AOI, "not_at_risk")
        await memory.pass_time(60)
        memory.now += KEEP
        memory.auditing.clear()
        memory.writes_down.clear()
        appealing = asyncio.create_task(memory.desk.appeal(CASE.id, LEAD, "the family has called"))
        await memory.writes_down.wait()
        forgetting = null(memory)
        await begun(forgetting)
        await all_done(memory, forgetting)
        with pytest.raises(ConflictError):
            await appealing
        assert isinstance(memory.table.get(KEY), Decided)

    play(scene)


def test_who_appeals_once_a_case_is_being_forgotten_is_refused() -> None:
    async def scene(memory: MemoryDesk) -> None:
        await memory.decide(CASE, AOI, "not_at_risk")
        await memory.pass_time(60)
        memory.now += KEEP
        memory.table.acknowledged.clear()
        forgetting = null(memory)
        await begun(forgetting)
        with pytest.raises(ClosedCaseError):
            await memory.desk.appeal(CASE.id, LEAD, "the family has called")
        await all_done(memory, forgetting)

    play(scene)


def test_an_erasure_brings_back_no_case_that_is_forgotten_meanwhile() -> None:
    async def scene(memory: MemoryDesk) -> None:
        await memory.decide(CASE, AOI, "not_at_risk")
        await memory.pass_time(60)
        memory.now += KEEP
        memory.auditing.clear()
        memory.writes_down.clear()
        erasing = asyncio.create_task(memory.deliver(erasure(memory)))
        await memory.writes_down.wait()
        forgetting = null(memory)
        await begun(forgetting)
        await all_done(memory, forgetting, erasing)
        assert isinstance(memory.table.get(KEY), Decided)

    play(scene)


def test_a_discard_takes_no_event_that_is_held_meanwhile() -> None:
    stray = CaseEvent("e", "case:other:0:1", 3, "released", "aoi", START)

    async def scene(memory: MemoryDesk) -> None:
        await memory.deliver(stray)
        held = memory.table.get(held_key(stray.case_id))
        assert isinstance(held, Held)
        memory.auditing.clear()
        memory.writes_down.clear()
        step = CaseEvent("d", stray.case_id, 0, "discarded", "lea", START, reason=digest_of_held(held))
        discarding = asyncio.create_task(memory.deliver(step))
        await memory.writes_down.wait()
        await memory.deliver(replace(stray, id="e-2"))
        await all_done(memory, discarding)
        after = memory.table.get(held_key(stray.case_id))
        assert isinstance(after, Held)
        assert len(after.events) == 2

    play(scene)


def test_what_watches_the_table_hears_of_the_latest_write_last() -> None:
    """Kafka acknowledges in order, but a desk may look into its changelog in between."""

    async def scene(memory: MemoryDesk) -> None:
        claim = await memory.desk.claim(CASE.id, AOI)
        memory.table.acknowledged.clear()
        late = asyncio.create_task(memory.receive(record("review-cases", CASE.id, None)))
        await begun(late)
        held_up, memory.table.acknowledged = memory.table.acknowledged, asyncio.Event()
        memory.table.acknowledged.set()
        await memory.desk.release(CASE.id, claim.lease, AOI)
        held_up.set()
        await late
        assert list(memory.present.of(AOI.id)) == []

    play(scene)


def test_an_event_is_handled_anew_at_once_where_another_agent_came_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Not after the pause that a broker which is down gets, and not as an error."""

    async def scene(memory: MemoryDesk) -> None:
        await memory.decide(CASE, AOI, "not_at_risk")
        await memory.pass_time(60)
        memory.now += KEEP
        memory.auditing.clear()
        memory.writes_down.clear()
        step = CaseEvent("a", CASE.id, case(memory).revision, "appealed", "lea", memory.now)
        topic = stream(record("case-events", CASE.id, encode(step)))
        appealing = asyncio.create_task(memory.agents.events(topic))
        await memory.writes_down.wait()
        forgetting = null(memory)
        await begun(forgetting)
        await all_done(memory, forgetting, appealing)
        assert isinstance(memory.table.get(KEY), Decided)

    monkeypatch.setattr("review.kafka.agents.RETRY_SECONDS", float("inf"))
    with capture_logs() as lines:
        play(scene)
    assert [line["event"] for line in lines] == ["changed_meanwhile"]


def test_a_case_that_is_reopened_at_the_moment_it_may_go_stays() -> None:
    """What may go is known from what watches the table, which hears of a write after Kafka has."""

    async def scene(memory: MemoryDesk) -> None:
        long_ago = START - timedelta(days=3650)
        old = replace(case(memory), phase="settled", history=[Step("settled", "desk", long_ago)])
        await memory.table.put(KEY, old, over=case(memory))
        memory.table.acknowledged.clear()
        reopened = replace(old, phase="waiting")
        reopening = asyncio.create_task(memory.table.put(KEY, reopened, over=old))
        await begun(reopening)
        pruning = asyncio.create_task(memory.agents.subjects(stream(record("case-subjects", "", b""))))
        await begun(pruning)
        await all_done(memory, reopening, pruning)
        assert memory.table.get(KEY) == reopened
        await memory.table.put(KEY, old, over=reopened)
        memory.agents._pruned.clear()
        await memory.agents.subjects(stream(record("case-subjects", "", b"")))
        assert memory.table.get(KEY) is None

    play(scene)


def stream(event: Any) -> Any:
    """A stream of Faust's, of one event."""

    async def events() -> AsyncIterator[Any]:
        yield event

    return SimpleNamespace(events=events)


def test_kafkas_table_refuses_what_was_made_of_an_entry_that_is_there_no_more() -> None:
    read, since = CaseState(CASE, 0), CaseState(CASE, 0, revision=1)

    async def scene() -> None:
        app = faust.App("a-desk", store="memory://", datadir="unused")
        cipher = Cipher([Key.make()])
        table = CaseTable(app, cipher, (), nothing, partitions=1, compaction_hours=1.0, rocksdb=False)
        table._table.data[KEY] = stamped(1, cipher.seal(encode_entry(since), KEY))
        with pytest.raises(ChangedMeanwhileError):
            await table.put(KEY, read, over=read)
        for over in (since, None):  # None is what is read of a partition that has moved to another desk
            with pytest.raises(TypeError, match="outside of stream"):
                await table.put(KEY, read, over=over)

    async def nothing(_tp: TP, _start: int, _stop: int) -> list[tuple[bytes, bytes | None]]:
        return []

    asyncio.run(scene())
