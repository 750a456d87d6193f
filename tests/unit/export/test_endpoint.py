"""A large model behind an endpoint, asked over real HTTP: what is sent, what comes back, what it costs."""

import asyncio
import math
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from aiohttp import web

from engine.errors import SettingsError
from engine.task import load_task
from export.baselines.endpoint.address import Key, address_of
from export.baselines.endpoint.cost import Prices
from export.baselines.endpoint.endpoint import Asking, Endpoint
from export.baselines.endpoint.line import Patience
from export.baselines.endpoint.pace import Limits
from export.baselines.endpoint.way import EndpointWay
from export.errors import EndpointError
from export.evaluating.ways import Way
from export.examples import LabelledExample
from tests.fakes.chat_server import Body, ChatServer, refused, said

TASK = load_task("stress")
TEXTS = ["I AM SO TIRED", "lunch at noon?", "tired, again", "see you"]
QUICK = Patience(attempts=3, first_wait_s=0.001, longest_wait_s=0.05, timeout_s=20.0)
EXAMPLES = [LabelledExample("I cannot sleep", at_risk=True), LabelledExample("nice hat", at_risk=False)]


def way(
    server: ChatServer,
    tell: Callable[[str], None] = lambda _: None,
    *,
    few_shot: bool = False,
    **asking: Any,
) -> EndpointWay:
    url = server.url
    asked = Asking(**{"patience": QUICK} | asking)
    endpoint = Endpoint(address_of(url, "127.0.0.1"), "judge", TASK.risk, Key("sk-secret"), asked, tell)
    return EndpointWay(endpoint, TASK, few_shot=few_shot)


def ask(
    server: ChatServer, texts: Sequence[str] = TEXTS, examples: Sequence[LabelledExample] = (), **asking: Any
) -> list[float]:
    return list(way(server, few_shot=bool(examples), **asking).risks(examples, texts, lambda _: None))


def test_it_asks_the_tasks_own_question() -> None:
    read: list[int] = []
    with ChatServer() as server:
        asked: Way = way(server)
        risks = asked.risks([], TEXTS, read.append)
    np.testing.assert_array_equal(risks, [1.0, 0.0, 1.0, 0.0])
    assert sum(read) == len(TEXTS)
    body = server.bodies[0]
    assert [turn["role"] for turn in body["messages"]] == ["system", "user"]
    assert body["messages"][0]["content"] == TASK.instruction
    assert body["messages"][1]["content"] == f"Message: {TEXTS[0]}\n{TASK.risk.question}"
    assert (body["model"], body["temperature"], body["max_tokens"]) == ("judge", 0, 16)
    assert server.headers[0]["Authorization"] == "Bearer sk-secret"
    assert asked.fewest == 0


def test_a_text_that_was_cut_within_a_letter_can_be_asked_about() -> None:
    with ChatServer() as server:
        assert ask(server, ["so tired \ud83d"]) == [1.0]


def test_examples_are_earlier_turns() -> None:
    with ChatServer() as server:
        ask(server, ["hello"], EXAMPLES)
    turns = server.bodies[0]["messages"]
    assert [turn["role"] for turn in turns] == ["system", "user", "assistant", "user", "assistant", "user"]
    assert [turn["content"] for turn in turns if turn["role"] == "assistant"] == ["Yes", "No"]
    assert turns[1]["content"] == f"Message: I cannot sleep\n{TASK.risk.question}"


def test_what_a_model_does_not_take_is_given_up_once() -> None:
    """As OpenAI's newer models refuse it, with the parameter's name."""

    async def picky(_number: int, body: Body, _request: web.Request) -> web.Response | None:
        for name in ("logprobs", "max_tokens", "temperature"):
            if name in body:
                return refused(400, code="unsupported_parameter", param=name)
        return None

    with ChatServer(picky) as server:
        assert ask(server) == [1.0, 0.0, 1.0, 0.0]
    assert len(server.bodies) == 3 + len(TEXTS)
    assert server.bodies[-1]["max_completion_tokens"] == 16
    assert not {"logprobs", "top_logprobs", "max_tokens", "temperature"} & set(server.bodies[-1])


def test_a_refusal_of_parameters_without_a_name_is_understood() -> None:
    async def plain(_number: int, body: Body, _request: web.Request) -> web.Response | None:
        allowed = {"model", "messages", "max_tokens"}
        return None if set(body) <= allowed else web.json_response({"detail": "?"}, status=422)

    with ChatServer(plain) as server:
        assert ask(server, structured=True) == [1.0, 0.0, 1.0, 0.0]


def test_answers_may_be_held_to_two() -> None:
    with ChatServer() as server:
        ask(server, structured=True)
    schema = server.bodies[0]["response_format"]["json_schema"]["schema"]
    assert schema["properties"]["answer"]["enum"] == ["No", "Yes"]
    assert server.bodies[0]["max_tokens"] == 16 + 48  # seen: an object over three lines takes 22


def test_nonsense_and_refusals_are_no_answer() -> None:
    async def odd(number: int, _body: Body, _request: web.Request) -> web.Response | None:
        replies = [None, said("As a language model"), said("No, I will not"), said(None)]
        return web.json_response(replies[number]) if replies[number] else None

    with ChatServer(odd) as server:
        risks = ask(server, limits=Limits(at_once=1))
    assert risks[0] == 1.0
    assert all(math.isnan(risk) for risk in risks[1:])


def test_a_filtered_or_too_long_text_has_no_answer_and_the_others_do() -> None:
    async def filtering(_number: int, body: Body, _request: web.Request) -> web.Response | None:
        text = body["messages"][-1]["content"]
        if "I AM SO TIRED" in text:
            return refused(400, code="content_filter")
        return refused(413) if "noon" in text else None

    with ChatServer(filtering) as server:
        risks = ask(server)
    assert [math.isnan(risk) for risk in risks] == [True, True, False, False]
    assert len(server.bodies) == len(TEXTS)


def test_the_same_question_is_not_paid_twice() -> None:
    with ChatServer() as server:
        asked = way(server)
        first = asked.risks([], [*TEXTS, TEXTS[0]], lambda _: None)
        again = asked.risks([], TEXTS[:2], lambda _: None)
        assert len(server.bodies) == len(TEXTS)
    assert list(first) == [1.0, 0.0, 1.0, 0.0, 1.0]
    assert list(again) == [1.0, 0.0]


def test_it_works_inside_a_running_loop() -> None:
    async def notebook(asked: EndpointWay) -> list[float]:
        return list(asked.risks([], TEXTS, lambda _: None))

    with ChatServer() as server:
        assert asyncio.run(notebook(way(server))) == [1.0, 0.0, 1.0, 0.0]


def test_no_more_are_in_flight_than_allowed() -> None:
    both = asyncio.Event()

    async def slow(number: int, _body: Body, _request: web.Request) -> None:
        if number == 2:  # the second of two at once: the first was sent alone
            both.set()
        if number:
            await both.wait()

    with ChatServer(slow) as server:
        ask(server, [f"text {n}" for n in range(9)], limits=Limits(at_once=2))
    assert server.at_once == 2


def test_the_limits_per_minute_are_kept() -> None:
    with ChatServer() as server:
        began = time.monotonic()
        ask(server, limits=Limits(requests_per_minute=1200))  # one each 0.05 s
        assert time.monotonic() - began >= 0.14
        began = time.monotonic()
        tokens = Limits(tokens_per_minute=120_000)  # about 140 tokens a request: one each 0.07 s
        ask(server, ["a" * 120, "b" * 120, "c" * 120], limits=tokens)
        assert time.monotonic() - began >= 0.1


def test_the_cost_is_told_before_anything_is_sent() -> None:
    lines: list[str] = []
    with ChatServer() as server:

        def tell(line: str) -> None:
            lines.append(f"{len(server.bodies)} {line}")

        asked = way(server, tell, prices=Prices(2.0, 8.0, 1.0))
        asked.risks([], TEXTS, lambda _: None)
    assert lines[0].startswith("0 sending 4 questions to judge at 127.0.0.1:")
    assert "at most 0.00 at the prices given" in lines[0]
    assert lines[1:] == []  # judge-1 is the judge that was asked for
    assert (asked.endpoint.bill.requests, asked.endpoint.bill.tokens_in, asked.endpoint.bill.tokens_out) == (
        4,
        200,
        4,
    )
    assert asked.endpoint.bill.cost_per_million == pytest.approx(50 * 2.0 + 8.0)


def test_each_way_has_the_cost_of_its_own_questions() -> None:
    async def by_turns(_number: int, body: Body, _request: web.Request) -> web.Response:
        used = {"prompt_tokens": 10 * len(body["messages"]), "completion_tokens": 1}
        return web.json_response(said("No") | {"usage": used})

    with ChatServer(by_turns) as server:
        zero = way(server, prices=Prices(2.0, 8.0))
        few = EndpointWay(zero.endpoint, TASK, few_shot=True)
        assert zero.cost_per_million is None
        zero.risks([], TEXTS, lambda _: None)
        few.risks(EXAMPLES, TEXTS, lambda _: None)
    assert zero.cost_per_million == pytest.approx(10 * 2 * 2.0 + 8.0)  # instruction and message
    assert few.cost_per_million == pytest.approx(10 * (2 + 2 * len(EXAMPLES)) * 2.0 + 8.0)


def test_a_cost_above_the_limit_sends_nothing() -> None:
    with ChatServer() as server:
        asked = way(server, prices=Prices(2000.0, 8000.0, 1.0))
        with pytest.raises(
            EndpointError, match=r"4 questions .* may cost .* --max-cost is 1.00: nothing more"
        ):
            asked.risks([], TEXTS, lambda _: None)
        assert not server.bodies


def test_the_limit_holds_over_all_draws_and_while_asking() -> None:
    async def dear(_number: int, _body: Body, _request: web.Request) -> web.Response:
        return web.json_response(said("No") | {"usage": {"prompt_tokens": 400_000, "completion_tokens": 1}})

    with ChatServer(dear) as server:
        asked = way(server, prices=Prices(1.0, 1.0, 1.0), limits=Limits(at_once=1))
        with pytest.raises(
            EndpointError, match=r"counted more tokens than estimated: 1\.20 after 3 requests"
        ):
            asked.risks([], TEXTS, lambda _: None)
        assert len(server.bodies) == 3
        with pytest.raises(EndpointError, match=r"after 1\.20 before them"):
            asked.risks([], ["another"], lambda _: None)


def test_another_model_that_answers_is_named() -> None:
    lines: list[str] = []
    with ChatServer() as server:
        named = Endpoint(
            address_of(server.url, "127.0.0.1"), "gpt-9", TASK.risk, None, Asking(), lines.append
        )
        EndpointWay(named, TASK).risks([], TEXTS, lambda _: None)
    assert lines[1].endswith("was asked for gpt-9, and judge-1 answered")
    assert "Authorization" not in server.headers[0]


def test_all_draws_are_announced_before_the_first_is_sent() -> None:
    lines: list[str] = []
    with ChatServer() as server:
        asked = way(server, lines.append, few_shot=True, prices=Prices(1000.0, 1000.0, 1.0))
        draws = [EXAMPLES[:1], EXAMPLES, EXAMPLES[::-1]]
        with pytest.raises(EndpointError, match=r"12 questions .* nothing more was sent"):
            asked.announce(draws, TEXTS)
        asked.announce(draws[:1], TEXTS)  # 0.49, of which nothing is sent yet
        with pytest.raises(EndpointError, match=r"4 questions .* after 0\.\d+ before them"):
            asked.announce(draws[1:2], TEXTS)
        assert not server.bodies
        asked.risks(draws[0], TEXTS, lambda _: None)
    assert len(lines) == 1
    assert len(server.bodies) == len(TEXTS)


@pytest.mark.parametrize(
    ("prices", "what"),
    [
        ((1.0, None, None), "both prices"),
        ((None, None, 5.0), "--max-cost needs the prices"),
        ((-1.0, 1.0, None), "0 or more"),
        ((math.nan, 1.0, None), "0 or more"),
    ],
)
def test_prices_that_cannot_be_are_refused(prices: tuple[float | None, ...], what: str) -> None:
    with pytest.raises(SettingsError, match=what):
        Prices(*prices)
