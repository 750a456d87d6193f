"""What a reader may see of a conversation beside a case: little, in order, and once it is recorded."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from random import Random
from typing import Any

import pytest
from msgspec.structs import replace

from review.cases.conversations import LONGEST
from review.cases.entries import Entry, decode_entry, encode_entry
from review.cases.keys import case_key
from review.cases.state import CaseState
from review.errors import NotAllowedError, NotAuditedError
from review.people import Person
from review.queue.order import Filter
from review.retention.forgetting import erasure_id
from schemas.events import CaseEvent, ReviewCase
from tests.fakes.memory_desk import KEEP, START, MemoryDesk, person
from tests.unit.review.test_entries import CASE as PLAIN

AOI, BEN, LEAD = person("aoi"), person("ben"), person("lea", "lead")


def said(minutes: int, text: str, author: str | None = "author-1", **fields: Any) -> ReviewCase:
    return replace(
        PLAIN,
        id=f"case:messages:0:{100 + minutes}",
        message_id=f"m-{minutes}",
        text=text,
        author_id=author,
        conversation_id="talk-1",
        sent_at=START + timedelta(minutes=minutes),
        **fields,
    )


CASE = said(0, "and now the kettle too")
TALK = (
    said(-30, "a long time ago"),
    said(-2, "I burnt the rice"),
    CASE,
    said(1, "shall I come over?", author="author-2"),
    said(3, "only if you bring a kettle", author=None),
    replace(said(7, "in another room"), conversation_id="talk-2"),
    said(4, "an item of the house", kind="golden"),
    replace(said(5, ""), text=None),
)


def play(
    scene: Callable[[MemoryDesk], Awaitable[None]], *, most: int = 10
) -> list[tuple[str, str, str | None]]:
    """Returns which readings were recorded."""
    read: list[tuple[str, str, str | None]] = []

    async def record(state: CaseState, who: Person, beside: str | None) -> None:
        if state.case.text == "only if you bring a kettle" and who == BEN:
            raise NotAuditedError("Kafka did not take it")
        read.append((state.case.message_id, who.id, beside))

    memory = MemoryDesk(conversation_context=most, before_reveal=record)

    async def run() -> None:
        await memory.open(*TALK)
        await scene(memory)

    asyncio.run(run())
    return read


def test_the_messages_next_to_a_case_come_in_their_order_once_each_reading_is_recorded() -> None:
    async def scene(memory: MemoryDesk) -> None:
        await memory.desk.claim(CASE.id, AOI)
        places = memory.desk.context(CASE.id, AOI)
        assert [(each.before, each.same_author) for each in places] == [
            (True, True), (True, True), (False, False), (False, None),
        ]  # fmt: skip
        found = await memory.desk.reveal_context(CASE.id, AOI)
        assert [each.text for each in found] == [
            "a long time ago", "I burnt the rice", "shall I come over?", "only if you bring a kettle",
        ]  # fmt: skip
        assert [each.at for each in found] == [each.at for each in places]

    assert play(scene) == [(name, "aoi", CASE.id) for name in ("m--30", "m--2", "m-1", "m-3")]


def test_only_the_nearest_are_shown_and_long_ones_without_their_middle() -> None:
    async def scene(memory: MemoryDesk) -> None:
        await memory.open(said(2, "a" * LONGEST + "b" * LONGEST))
        await memory.desk.claim(CASE.id, AOI)
        before, after, long = await memory.desk.reveal_context(CASE.id, AOI)
        assert [before.text, after.text] == ["I burnt the rice", "shall I come over?"]
        assert len(long.text) <= LONGEST
        assert (long.text[0], long.text[-1], long.shortened) == ("a", "b", True)

    assert len(play(scene, most=3)) == 3


def erasure(case: ReviewCase) -> CaseEvent:
    step = erasure_id("message", case.message_id)
    return CaseEvent("erasure:1", step, 0, "erased", "dana", START, reason="message")


@pytest.mark.parametrize(("erased", "left"), [(TALK[1], ["shall I come over?"]), (CASE, [])])
def test_what_is_erased_while_its_reading_is_recorded_is_not_shown(
    erased: ReviewCase, left: list[str]
) -> None:
    recorded = asyncio.Event()

    async def record(_state: CaseState, _who: Person, _beside: str | None) -> None:
        await recorded.wait()

    async def scene() -> None:
        memory = MemoryDesk(conversation_context=2, before_reveal=record)
        await memory.open(*TALK)
        await memory.desk.claim(CASE.id, AOI)
        reading = [
            asyncio.create_task(each)
            for each in (memory.desk.reveal(CASE.id, AOI), memory.desk.reveal_context(CASE.id, AOI))
        ]
        await asyncio.wait(reading, timeout=0)
        await memory.deliver(erasure(erased))
        recorded.set()
        texts = [
            [each.text for each in found] if isinstance(found, list) else found
            for found in await asyncio.gather(*reading)
        ]
        assert texts == [None if erased == CASE else CASE.text, left]

    asyncio.run(scene())


@pytest.mark.parametrize("who", [AOI, BEN])
def test_who_loses_the_case_while_the_reading_is_recorded_reads_nothing(who: Person) -> None:
    recorded = asyncio.Event()

    async def record(_state: CaseState, _who: Person, _beside: str | None) -> None:
        await recorded.wait()

    async def scene() -> None:
        memory = MemoryDesk(conversation_context=2, before_reveal=record)
        await memory.open(*TALK)
        claim = await memory.desk.claim(CASE.id, who)
        reading = [
            asyncio.create_task(each)
            for each in (memory.desk.reveal(CASE.id, who), memory.desk.reveal_context(CASE.id, who))
        ]
        await asyncio.wait(reading, timeout=0)
        await memory.desk.release(CASE.id, claim.lease, who)
        recorded.set()
        found = await asyncio.gather(*reading, return_exceptions=True)
        assert [type(each) for each in found] == [NotAllowedError] * 2

    asyncio.run(scene())


NAMELESS = [
    replace(said(number, f"nameless {number}", "", verdict="at_risk"), conversation_id="")
    for number in range(4)
]


def test_an_id_that_is_empty_is_no_id() -> None:
    """Some platforms write "" where there is none: these messages have nothing in common."""

    async def scene() -> None:
        memory = MemoryDesk(conversation_context=5)
        none = replace(NAMELESS[0], id="case:messages:0:99", message_id="m-99", conversation_id=None)
        await memory.open(*NAMELESS, none)
        for one, who in ((NAMELESS[1], AOI), (none, BEN)):
            await memory.desk.claim(one.id, who)
            assert memory.desk.context(one.id, who) == []
            assert await memory.desk.reveal_context(one.id, who) == []
        states = [memory.table.get(case_key(each.id)) for each in NAMELESS]
        assert all(isinstance(state, CaseState) and state.raised == [] for state in states)
        assert memory.told == []
        places = memory.desk.queue(Filter(), LEAD, offset=0, limit=9).places
        assert {place.further for place in places} == {0}
        view = memory.desk.find(none.id, LEAD)
        assert (view.conversation_id, view.author_id) == (None, None)

    asyncio.run(scene())


def test_what_an_earlier_desk_has_kept_under_an_empty_id_is_read_without_it() -> None:
    state = CaseState(NAMELESS[0], 0)
    kept = decode_entry(encode_entry(state))
    assert isinstance(kept, CaseState)
    assert kept.case == replace(NAMELESS[0], author_id=None, conversation_id=None)
    named = CaseState(CASE, 0)
    assert decode_entry(encode_entry(named)) == named


def test_of_a_conversation_of_any_length_the_nearest_are_found_without_reading_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def scene(memory: MemoryDesk) -> None:
        random = Random(3)  # noqa: S311 - a test that is the same each time
        times = {number: random.randrange(-9000, 9000) for number in range(10_000, 10_400)}
        for number, minutes in times.items():
            one = replace(
                said(minutes, f"at {minutes}"), id=f"case:messages:0:{number}", message_id=str(number)
            )
            memory.present.conversations.put(case_key(one.id), state := CaseState(one, 0))
            memory.table.entries[case_key(one.id)] = state
        await memory.desk.claim(CASE.id, AOI)
        asked = list[bytes]()
        get = memory.table.get

        def counted(key: bytes) -> Entry | None:
            asked.append(key)
            return get(key)

        monkeypatch.setattr(memory.table, "get", counted)
        found = [round((each.at - START).total_seconds() / 60) for each in memory.desk.context(CASE.id, AOI)]
        near = sorted([*times.values(), -30, -2, 1, 3], key=abs)[:10]
        assert sorted(map(abs, found)) == sorted(map(abs, near))
        assert found == sorted(found)
        assert len(asked) == 1 + 10

    play(scene)


def test_who_may_not_read_the_case_learns_nothing_of_its_conversation() -> None:
    async def scene(memory: MemoryDesk) -> None:
        await memory.desk.claim(CASE.id, AOI)
        for who in (BEN, person("uma", "auditor")):
            assert memory.desk.context(CASE.id, who) == []
            with pytest.raises(NotAllowedError):
                await memory.desk.reveal_context(CASE.id, who)
        assert len(memory.desk.context(CASE.id, LEAD)) == 4

    assert play(scene) == []


def test_it_is_off_unless_the_house_wants_it() -> None:
    async def scene(memory: MemoryDesk) -> None:
        await memory.desk.claim(CASE.id, AOI)
        assert memory.desk.context(CASE.id, AOI) == []
        with pytest.raises(NotAllowedError, match="shows no other messages"):
            await memory.desk.reveal_context(CASE.id, AOI)

    assert play(scene, most=0) == []


def test_no_text_leaves_where_one_reading_cannot_be_recorded() -> None:
    async def scene(memory: MemoryDesk) -> None:
        await memory.desk.claim(CASE.id, BEN)
        with pytest.raises(NotAuditedError):
            await memory.desk.reveal_context(CASE.id, BEN)

    play(scene)


def test_a_golden_item_has_no_conversation_whatever_its_file_says() -> None:
    async def scene(memory: MemoryDesk) -> None:
        golden = TALK[6]
        await memory.desk.claim(golden.id, AOI)
        assert memory.desk.context(golden.id, AOI) == []

    play(scene)


def test_what_is_erased_or_forgotten_is_beside_no_case_any_more() -> None:
    async def scene(memory: MemoryDesk) -> None:
        await memory.decide(TALK[1], BEN, "not_at_risk")
        await memory.pass_time(60)
        assert len(memory.desk.context(CASE.id, LEAD)) == 4  # a settled case keeps its words for a while
        step = CaseEvent("erasure:1", erasure_id("message", "m-1"), 0, "erased", "dana", memory.now)
        await memory.deliver(step)
        assert len(memory.desk.context(CASE.id, LEAD)) == 3
        await memory.pass_time(KEEP.total_seconds())
        assert len(memory.desk.context(CASE.id, LEAD)) == 2
        memory.present.clear()
        assert memory.desk.context(CASE.id, LEAD) == []

    play(scene)
