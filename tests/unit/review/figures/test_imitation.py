"""Golden items look like the real cases beside them, and neither desk nor Kafka takes one for a real one."""

import asyncio
import re
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from review.cases.form import Form
from review.cases.views import shown_id
from review.errors import ClosedCaseError, DeskError
from review.figures.golden import GoldenItem
from review.figures.imitation import FIRST_OFFSET, Imitation
from review.queue.order import Filter
from schemas.events import Origin, ReviewCase
from schemas.ids import case_id
from tests.fakes.memory_desk import MemoryDesk, person
from tests.unit.review.test_entries import CASE

NOW = datetime(2026, 11, 26, 9, tzinfo=UTC)
ITEM = GoldenItem("rent", "stress", "The rent is due, and I smile.", "at_risk")
AOI = person("aoi")


def real(offset: int, partition: int = 0, **fields: object) -> ReviewCase:
    origin = Origin("messages", partition, offset)
    usual = {"id": case_id(origin), "origin": origin, "message_id": f"m-{offset}", "author_id": f"u{offset}"}
    return structs.replace(CASE, **(usual | fields))


@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 10**12)), min_size=1, max_size=20, unique=True),
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 10**12)), max_size=5),
    st.integers(1, 12),
    st.booleans(),
)
def test_an_item_takes_no_place_that_has_a_case_and_none_after_the_latest(
    places: list[tuple[int, int]],
    gone: list[tuple[int, int]],
    copies: int,
    whole: bool,  # noqa: FBT001 - drawn
) -> None:
    imitation = Imitation(
        [real(offset, partition) for partition, offset in places],
        [Origin("messages", *place) for place in gone],
        whole=whole,
    )
    taken, ids = {*places, *gone}, set()
    try:
        for _ in range(copies):
            case = imitation.case(ITEM, NOW)
            partition, offset = case.origin.partition, case.origin.offset
            assert (partition, offset) not in taken
            known = [at for part, at in taken if part == partition]
            assert (0 if whole else min(known)) <= offset < max(known)
            taken.add((partition, offset))
            assert re.fullmatch(rf"case:messages:{partition}:[0-9]{{16}}", case.id)
            assert int(case.id.rpartition(":")[2]) >= FIRST_OFFSET
            ids.add(case.id)
            assert shown_id(case) == f"case:messages:{partition}:{offset}"
        assert len(ids) == copies
    except DeskError as error:
        assert "no place for a golden item" in str(error)  # noqa: PT017 - it may or may not fit


@pytest.mark.parametrize(
    ("make", "known"),
    [
        ("m-[0-9]{3}", [f"m-{n}" for n in range(100, 130)]),
        ("[0-9a-f]{8}-4[0-9a-f]{3}", [f"{n * 7919 % 2**32:08x}-4{n * 31 % 4096:03x}" for n in range(1, 60)]),
        ("1998[0-9]{6}", [f"1998{n * 91_193 % 10**6:06}" for n in range(40)]),
        ("[A-Z0-9]{4}", ["AB3C", "Z9QQ", "K4K1", "0PPP"]),
        ("msg-[0-9]{2}", ["msg-17"]),
    ],
)
def test_ids_are_new_and_of_the_make_of_the_others(make: str, known: list[str]) -> None:
    cases = [real(2 * n, message_id=each, author_id=each) for n, each in enumerate(known)]
    for _ in range(20):
        case = (
            Imitation(cases, whole=True).case(ITEM, NOW)
            if len(cases) > 1
            else (Imitation([real(9, message_id=known[0], author_id=known[0])], whole=True).case(ITEM, NOW))
        )
        for made in (case.message_id, case.author_id or ""):
            assert re.fullmatch(make, made), made
            assert made not in known


def test_an_item_waits_as_long_and_is_as_exact_as_the_others_and_lacks_what_they_lack() -> None:
    tokyo = timezone(timedelta(hours=9))
    sent = (NOW - timedelta(seconds=2)).astimezone(tokyo).replace(microsecond=250_000)
    case = Imitation([real(9, sent_at=sent, opened_at=NOW, levels=["low", "high"])], whole=True).case(
        ITEM, NOW + timedelta(hours=1, microseconds=123_456)
    )
    assert case.sent_at is not None
    assert (case.sent_at.utcoffset(), case.sent_at.microsecond % 1000) == (timedelta(hours=9), 0)
    assert case.opened_at - case.sent_at < timedelta(seconds=2)
    assert (case.levels, case.conversation_id) == (["low", "high"], None)
    bare = Imitation([real(9, sent_at=None, author_id=None, conversation_id="c1")], whole=True).case(
        ITEM, NOW
    )
    assert (bare.sent_at, bare.author_id) == (None, None)
    for claimed in ("0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-12:00"):  # clocks that are ages off
        odd = real(9, sent_at=datetime.fromisoformat(claimed), opened_at=NOW)
        made = Imitation([odd], whole=True).case(ITEM, NOW + timedelta(days=1)).sent_at
        assert made is not None
        assert 2000 < made.year < 2100


@pytest.mark.parametrize(
    ("cases", "item", "said"),
    [
        ([], ITEM, "item rent: no case of the task stress with a text"),
        ([real(9, text=None)], ITEM, "no case of the task stress with a text"),
        ([real(9, kind="golden")], ITEM, "no case of the task stress with a text"),
        ([real(9, task="other")], ITEM, "no case of the task stress with a text"),
        ([real(0)], ITEM, "no place for a golden item"),
        ([real(9, levels=["low"])], structs.replace(ITEM, levels=["high"]), "must be those of the task: low"),
    ],
)
def test_an_item_that_would_be_known_is_not_sent(
    cases: list[ReviewCase], item: GoldenItem, said: str
) -> None:
    with pytest.raises(DeskError, match=said) as refused:
        Imitation(cases, whole=True).case(item, NOW)
    assert item.text not in str(refused.value)


def test_where_the_message_that_an_item_pretends_to_be_gets_a_case_that_case_has_the_address() -> None:
    """It cannot hide a person: neither its record on the topic nor its entry has the id of a real case."""

    async def scene() -> None:
        memory = MemoryDesk(claims=2)
        golden = Imitation([real(7)], whole=True).case(ITEM, memory.now)
        await memory.open(golden)
        place = shown_id(golden)
        claim = await memory.desk.claim(place, AOI)
        assert (claim.case.id, await memory.desk.reveal(place, AOI)) == (place, ITEM.text)
        late = real(golden.origin.offset, text="nobody has asked me for weeks")
        await memory.open(late)
        found = memory.desk.find(place, AOI)
        assert (found.phase, found.mine) == ("waiting", False)
        assert place in [view.id for view in memory.desk.queue(Filter(), AOI, offset=0, limit=9).cases]
        [held] = memory.desk.mine(AOI)
        assert held.id == golden.id  # it is known now; nothing is lost
        await memory.desk.decide(held.id, Form("at_risk", claim.lease), AOI)
        await memory.decide(late, AOI, "not_at_risk")
        await memory.pass_time(60)
        assert [decision.case_id for decision in memory.published] == [late.id]
        await memory.table.prune([b"case:" + late.id.encode()])
        assert memory.desk.find(place, AOI).id == place

    asyncio.run(scene())


def test_a_golden_item_whose_text_was_forgotten_is_closed_at_its_address() -> None:
    async def scene() -> None:
        memory = MemoryDesk()
        golden = Imitation([real(7)], whole=True).case(ITEM, memory.now)
        await memory.open(golden)
        await memory.decide(structs.replace(golden, id=shown_id(golden)), AOI, "at_risk")
        await memory.pass_time(60)
        await memory.pass_time(40 * 3600)
        assert memory.forgotten == [golden.id.encode()]
        with pytest.raises(ClosedCaseError):
            memory.desk.find(shown_id(golden), AOI)

    asyncio.run(scene())
