"""Webhooks: what is told when, how often it is tried, and how a receiver knows it for ours."""

import asyncio
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from aiokafka.errors import KafkaConnectionError  # type: ignore[import-untyped]  # ships no types
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs
from structlog.testing import capture_logs

from review.errors import DeskError
from review.hooks.attempts import WAITS, Attempts
from review.hooks.ledger import Entry, NoLedgerError
from review.hooks.notice import About, Notice
from review.hooks.post import Answer, Post
from review.hooks.signature import secret_bytes, signed_headers
from review.hooks.teller import Teller
from review.hooks.watch import Watch
from tests.fakes.memory_desk import START, MemoryDesk, person
from tests.unit.review.test_entries import CASE as OLD

AOI, BEN = person("aoi"), person("ben")
LEAD = person("lena", "reviewer", "lead")
CASE = structs.replace(OLD, opened_at=START, sent_at=START)
OTHER = structs.replace(CASE, id="case:messages:0:8")
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"  # noqa: S105 - the one of the standard's examples
NOTICE = Notice("case.opened:c:1", "case.opened", START, About("c", "stress", START, START, None))
DAY = 86_400.0


class Memory:
    """A ledger in memory, and a receiver whose answers are set."""

    def __init__(self) -> None:
        self.entries: dict[str, Entry] = {}
        self.got: list[Notice] = []
        self.answer = Answer(taken=True)
        self.fault: Exception | None = None
        self.broken = False
        self.missing = 0  # how often it cannot be opened
        self.never_ends = False
        self.noted = asyncio.Event()

    def knows(self, notice_id: str) -> bool:
        return notice_id in self.entries

    async def open(self) -> None:
        if self.missing:
            self.missing -= 1
            raise NoLedgerError("no topic")

    async def follow(self, timeout_s: float) -> None:
        pass

    async def write(self, notice_id: str, entry: Entry) -> None:
        if self.broken:
            raise KafkaConnectionError
        self.entries[notice_id] = entry
        self.noted.set()

    async def send(self, notice: Notice) -> Answer:
        if self.fault:
            raise self.fault
        self.got.append(notice)
        return self.answer

    async def close(self) -> None:
        if self.never_ends:
            self.never_ends = False  # the next one ends
            await asyncio.Event().wait()


class Stage:
    """A desk without Kafka, and what tells of it."""

    def __init__(self, memory: Memory | None = None, desk: MemoryDesk | None = None) -> None:
        self.memory = memory or Memory()
        self.desk = desk or MemoryDesk()
        self.withheld: Iterator[str | None] = iter(())
        self.teller = Teller(
            Watch(self.desk.present.queue, ("case.opened", "case.overdue"), self.memory.knows),
            Attempts(DAY),
            self.memory,
            self.memory,
            self.desk.metrics,
            lambda: True,
            lambda: next(self.withheld, None),
            now=self.clock,
        )

    def clock(self) -> float:
        return self.desk.now.timestamp()

    async def told(self) -> list[tuple[str, str]]:
        """What this round told."""
        before = len(self.memory.got)
        await self.teller.round()
        return [(notice.type, notice.data.case_id) for notice in self.memory.got[before:]]


def test_a_case_is_told_once_when_it_opens_and_once_when_it_is_late() -> None:
    async def scene() -> None:
        stage = Stage()
        await stage.desk.open(CASE, OTHER)
        assert sorted(await stage.told()) == [("case.opened", CASE.id), ("case.opened", OTHER.id)]
        assert await stage.told() == []
        await stage.desk.decide(OTHER, AOI, "not_at_risk")
        await stage.desk.pass_time(DAY * 4)
        assert await stage.told() == [("case.overdue", CASE.id)]
        assert await stage.told() == []

    asyncio.run(scene())


@pytest.mark.parametrize("opened", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-12:00"])
def test_a_clock_that_is_ages_off_costs_no_other_case_its_notice(opened: str) -> None:
    async def scene() -> None:
        stage, at = Stage(), datetime.fromisoformat(opened)
        await stage.desk.open(structs.replace(OTHER, opened_at=at, sent_at=at), CASE)
        assert {told for _, told in await stage.told()} == {CASE.id, OTHER.id}

    asyncio.run(scene())


def test_a_claim_and_its_end_tell_nothing_and_a_reopened_case_is_told_again() -> None:
    async def scene() -> None:
        stage = Stage()
        await stage.desk.open(CASE)
        await stage.told()
        claim = await stage.desk.desk.claim(CASE.id, AOI)
        await stage.desk.desk.release(CASE.id, claim.lease, AOI)
        assert await stage.told() == []
        await stage.desk.decide(CASE, BEN, "at_risk")
        await stage.desk.pass_time(61)
        assert await stage.told() == []
        await stage.desk.desk.reopen(CASE.id, LEAD, "the family wrote")
        assert await stage.told() == [("case.opened", CASE.id)]

    asyncio.run(scene())


def test_an_undone_decision_tells_nothing_anew() -> None:
    async def scene() -> None:
        stage = Stage()
        await stage.desk.open(CASE)
        await stage.told()
        await stage.desk.decide(CASE, AOI, "at_risk")
        assert await stage.told() == []
        await stage.desk.desk.undo(CASE.id, AOI)
        assert await stage.told() == []

    asyncio.run(scene())


def test_a_desk_that_starts_again_tells_what_was_not_told_and_no_more() -> None:
    async def scene() -> None:
        stage = Stage()
        await stage.desk.open(CASE)
        await stage.told()
        await stage.desk.open(OTHER)
        assert await Stage(stage.memory, stage.desk).told() == [("case.opened", OTHER.id)]

    asyncio.run(scene())


def test_after_a_rebalance_nothing_is_told_twice() -> None:
    async def scene() -> None:
        stage = Stage()
        await stage.desk.open(CASE)
        await stage.told()
        stage.desk.present.clear()
        for key, entry in stage.desk.table.items():
            stage.desk.present.put(key, entry)
        await stage.desk.open(OTHER)
        assert await stage.told() == [("case.opened", OTHER.id)]
        await stage.desk.pass_time(DAY * 4)
        assert sorted(await stage.told()) == [("case.overdue", CASE.id), ("case.overdue", OTHER.id)]

    asyncio.run(scene())


def test_a_receiver_that_refuses_is_asked_again_and_then_given_up_with_the_reason() -> None:
    async def scene() -> None:
        stage = Stage()
        stage.memory.answer = Answer(False, "status 500")
        await stage.desk.open(CASE)
        for wait in (0.0, *WAITS, DAY):
            stage.desk.now += timedelta(seconds=wait)
            await stage.told()
        (dead,) = (entry for name, entry in stage.memory.entries.items() if name.startswith("case.opened"))
        assert (dead.state, dead.reason) == ("dead", "status 500")
        assert dead.failures > len(WAITS)
        assert dead.notice == stage.memory.got[0]
        stage.memory.answer = Answer(taken=True)
        stage.desk.now += timedelta(days=2)
        assert ("case.opened", CASE.id) not in await stage.told()

    asyncio.run(scene())


def test_a_receiver_that_is_down_gets_all_of_it_when_it_is_back() -> None:
    async def scene() -> None:
        stage = Stage()
        stage.memory.answer = Answer(False, "ClientConnectorError")
        cases = [structs.replace(CASE, id=f"case:messages:0:{number}") for number in range(40)]
        await stage.desk.open(*cases)
        await stage.told()
        assert len(stage.memory.got) <= 4  # it is spared
        stage.memory.answer = Answer(taken=True)
        stage.memory.got.clear()
        stage.desk.now += timedelta(seconds=WAITS[1])
        await stage.told()
        assert {notice.data.case_id for notice in stage.memory.got} == {case.id for case in cases}

    asyncio.run(scene())


def test_a_ledger_that_is_down_loses_nothing() -> None:
    async def scene() -> None:
        stage = Stage()
        stage.memory.broken = True
        await stage.desk.open(CASE, OTHER)
        with pytest.raises(KafkaConnectionError):
            await stage.told()
        stage.memory.broken = False
        stage.desk.now += timedelta(seconds=WAITS[0])
        assert sorted(await stage.told()) == [("case.opened", CASE.id), ("case.opened", OTHER.id)]
        assert len(stage.memory.entries) == 2

    asyncio.run(scene())


@pytest.mark.parametrize(
    "withheld", [(), ("no topic",), (None, "no topic"), (None, "no topic", None, "no topic")]
)
def test_a_ledger_that_is_missing_is_logged_once_whoever_sees_it_first_and_used_when_it_is_there(
    withheld: tuple[str | None, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("review.hooks.teller.LOOK_EVERY_S", 0.0)

    async def scene() -> None:
        stage = Stage()
        stage.memory.missing = 3
        stage.withheld = iter(withheld)
        await stage.desk.open(CASE)
        async with stage.teller:
            await stage.memory.noted.wait()
        assert [notice.data.case_id for notice in stage.memory.got] == [CASE.id]

    with capture_logs() as logs:
        asyncio.run(asyncio.wait_for(scene(), 30))
    assert [(line["event"], line.get("error")) for line in logs if line["event"].startswith("webhooks_")] == [
        ("webhooks_wait", "no topic"),
        ("webhooks_go_on", None),
    ]


def test_while_the_desk_misses_a_right_that_only_webhooks_need_nothing_is_told() -> None:
    async def scene() -> None:
        stage = Stage()
        stage.withheld = iter(["no right to Write"])
        await stage.desk.open(CASE)
        with pytest.raises(NoLedgerError, match="no right to Write"):
            await stage.told()
        assert stage.memory.got == []
        assert await stage.told() == [("case.opened", CASE.id)]

    asyncio.run(scene())


def test_a_ledger_that_never_closes_holds_neither_the_word_nor_the_webhooks_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("review.hooks.teller.LOOK_EVERY_S", 0.0)
    monkeypatch.setattr("review.hooks.teller.CLOSE_S", 0.01)

    async def scene() -> None:
        stage = Stage()
        stage.memory.missing, stage.memory.never_ends = 1, True
        await stage.desk.open(CASE)
        async with stage.teller:
            await stage.memory.noted.wait()

    with capture_logs() as logs:
        asyncio.run(asyncio.wait_for(scene(), 30))
    assert [line["event"] for line in logs if line["event"].startswith("webhooks_")] == [
        "webhooks_wait",
        "webhooks_go_on",
    ]


@given(st.lists(st.sampled_from(["told", "failed"]), max_size=30), st.floats(0, 7200))
def test_every_notice_is_told_or_given_up_and_never_both(answers: list[str], retry_after: float) -> None:
    attempts, now, ended = Attempts(DAY), 0.0, []
    attempts.add(NOTICE, now)
    for answer in answers:
        now += DAY  # longer than any wait
        for pending in attempts.due(now):
            if answer == "told":
                attempts.told(pending)
                ended.append("told")
            elif attempts.failed(pending, now, retry_after):
                attempts.forget(pending.notice.id)
                ended.append("dead")
    assert len(ended) + len(attempts) == 1
    assert ended[:1] == (["told"] if "told" in answers[: len(WAITS) + 1] else ended[:1])


def test_the_signature_is_that_of_the_standard() -> None:
    """As the library `standardwebhooks` 1.0 signs the example of its README."""
    headers = signed_headers(
        secret_bytes(SECRET), "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}'
    )
    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@pytest.mark.parametrize("secret", ["", "whsec_", "whsec_short", "whsec_not base 64!", "a" * 8])
def test_a_weak_secret_is_refused_and_not_shown(secret: str) -> None:
    with pytest.raises(DeskError, match="webhook_secret must be") as refused:
        secret_bytes(secret)
    assert not secret or secret not in str(refused.value).replace("whsec_ and", "").replace("whsec_$", "")


def _posted(
    answer: Callable[[web.Request], web.Response], notice: Notice = NOTICE
) -> tuple[Answer, list[web.Request], list[bytes]]:
    """One attempt at a real receiver."""
    seen: list[web.Request] = []
    bodies: list[bytes] = []

    async def receive(request: web.Request) -> web.Response:
        seen.append(request)
        bodies.append(await request.read())
        return answer(request)

    async def scene() -> Answer:
        application = web.Application()
        application.router.add_route("*", "/{path:.*}", receive)
        async with TestServer(application) as server:
            post = Post(str(server.make_url("/hook")), secret_bytes(SECRET), timeout_s=5)
            try:
                return await post.send(notice)
            finally:
                await post.close()

    return asyncio.run(scene()), seen, bodies


def test_a_receiver_gets_the_notice_with_a_signature_that_it_can_check() -> None:
    answer, (request,), (body,) = _posted(lambda _: web.Response(status=204))
    assert answer.taken
    assert msgspec.json.decode(body, type=Notice) == NOTICE
    at = int(request.headers["webhook-timestamp"])
    assert abs(at - datetime.now(UTC).timestamp()) < 60
    expected = signed_headers(secret_bytes(SECRET), request.headers["webhook-id"], at, body)
    assert request.headers["webhook-signature"] == expected["webhook-signature"]


@pytest.mark.parametrize(
    ("response", "expected"),
    [
        (web.Response(status=500), Answer(False, "status 500")),
        (web.Response(status=429, headers={"Retry-After": "30"}), Answer(False, "status 429", 30.0)),
        (web.Response(status=302, headers={"Location": "/else"}), Answer(False, "status 302")),
        (web.Response(status=503, headers={"Retry-After": "tomorrow"}), Answer(False, "status 503")),
    ],
)
def test_what_is_no_success_is_a_failure_and_no_redirect_is_followed(
    response: web.Response, expected: Answer
) -> None:
    answer, seen, _ = _posted(lambda _: response)
    assert answer == expected
    assert len(seen) == 1


def test_a_receiver_that_is_not_there_is_a_failure() -> None:
    post = Post("http://127.0.0.1:9/hook", secret_bytes(SECRET), timeout_s=5)

    async def scene() -> Answer:
        try:
            return await post.send(NOTICE)
        finally:
            await post.close()

    assert asyncio.run(scene()) == Answer(False, "ClientConnectorError")


def test_a_notice_holds_neither_text_nor_what_the_model_thinks() -> None:
    async def scene() -> bytes:
        stage = Stage()
        await stage.desk.open(CASE)
        await stage.told()
        return msgspec.json.encode(stage.memory.got)

    told = asyncio.run(scene())
    assert CASE.text
    for secret in (CASE.text, "risk", "verdict", "kind", "priority", "severity"):
        assert secret.encode() not in told.replace(b"case.opened", b"")


def test_a_golden_item_is_never_told() -> None:
    async def scene() -> None:
        stage = Stage()
        await stage.desk.open(structs.replace(CASE, kind="golden", verdict=None, severity=None))
        stage.desk.now += timedelta(days=9)
        assert await stage.told() == []

    asyncio.run(scene())


def test_a_receiver_that_asks_for_ever_is_given_up_all_the_same() -> None:
    attempts, now = Attempts(DAY), 0.0
    attempts.add(NOTICE, now)
    for _ in range(len(WAITS) + 1):
        (pending,) = attempts.due(now)
        given_up = attempts.failed(pending, now, retry_after=1e12)
        now += DAY
    assert given_up


def test_a_case_whose_id_no_header_can_hold_is_a_failure_and_stops_nothing() -> None:
    notice = structs.replace(NOTICE, id="case.opened:c\r\nX-Admin: yes:1")
    answer, seen, _ = _posted(lambda _: web.Response(), notice)
    assert answer == Answer(False, "ValueError")
    assert seen == []


def test_what_nobody_thought_of_loses_no_notice() -> None:
    async def scene() -> None:
        stage = Stage()
        stage.memory.fault = RuntimeError("unforeseen")
        await stage.desk.open(CASE, OTHER)
        assert await stage.told() == []
        stage.memory.fault = None
        stage.desk.now += timedelta(seconds=WAITS[0])
        assert sorted(await stage.told()) == [("case.opened", CASE.id), ("case.opened", OTHER.id)]

    asyncio.run(scene())
