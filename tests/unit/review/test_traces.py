"""A case's trace at the desk, from its record to the decision: with spans, without, and after an erasure."""

import asyncio
from collections.abc import Coroutine, Iterator

import pytest

from review.cases.keys import case_key
from review.cases.state import CaseState
from review.kafka.traces import open_spans
from review.metrics import DeskMetrics
from review.retention.forgetting import erasure_id
from review.settings import ReviewSettings
from schemas.codec import encode
from schemas.events import CaseEvent, ReviewCase
from schemas.headers import Trace
from tests.fakes.collector import Collector, collecting
from tests.fakes.memory_desk import MemoryDesk, person, record
from tests.fakes.review_cases import a_case
from tracing.spans import Tracer

CAUSE = Trace("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "vendor=x")
KIM = person("kim")


def arrives(case: ReviewCase, trace: Trace = CAUSE) -> object:
    headers = [("traceparent", trace.parent.encode()), ("tracestate", b"vendor=x")]
    return record("mimamori.review-cases", case.id, encode(case), headers)


async def decided(desk: MemoryDesk, case: ReviewCase, trace: Trace = CAUSE) -> None:
    await desk.agents.on_case(arrives(case, trace))  # type: ignore[arg-type]  # as Faust's agents get it
    await desk.decide(case, KIM, "at_risk", severity="high")
    await desk.settle(case.id)


def run(steps: Coroutine[None, None, None]) -> None:
    asyncio.run(steps)


@pytest.fixture
def collector() -> Iterator[Collector]:
    with collecting() as collector:
        yield collector


def tracer_to(url: str, metrics: DeskMetrics) -> Tracer:
    tracer = open_spans(ReviewSettings.model_validate({"traces_endpoint": url}), metrics)
    assert tracer is not None
    return tracer


def test_a_decision_names_what_its_message_named_also_without_spans() -> None:
    desk = MemoryDesk()
    run(decided(desk, a_case(1)))
    assert desk.caused_by == [CAUSE]


def test_a_case_that_is_opened_and_decided_has_two_spans_in_the_trace_of_its_message(
    collector: Collector,
) -> None:
    metrics = DeskMetrics()
    desk = MemoryDesk(tracer=(tracer := tracer_to(collector.url, metrics)))
    case = a_case(1)

    async def steps() -> None:
        await decided(desk, case)
        await desk.agents.on_case(arrives(case))  # type: ignore[arg-type]  # delivered again: no span

    run(steps())
    tracer.close(60)
    opened, told = collector.spans
    assert (opened.service, opened.name, opened.kind) == (
        "mimamori-review",
        "process mimamori.review-cases",
        5,
    )
    assert (told.name, told.kind) == ("send mimamori.review-decisions", 4)
    assert {span.trace_id for span in collector.spans} == {CAUSE.parent[3:35]}
    assert (opened.parent_id, told.parent_id) == (CAUSE.parent[36:52], opened.span_id)
    assert desk.caused_by == [Trace(f"00-{told.trace_id}-{told.span_id}-01", "vendor=x")]
    assert opened.attributes["messaging.consumer.group.name"] == "mimamori.review"
    assert told.attributes["messaging.operation.type"] == "send"
    sent = b"".join(collector.bodies)
    for hidden in (case.text, case.author_id, case.message_id, case.id, case.kind, "kim", "at_risk", "high"):
        assert hidden is None or hidden.encode() not in sent, hidden
    sample = metrics.registry.get_sample_value("mimamori_review_spans_total", {"outcome": "sent"})
    assert sample == 2


def test_an_unsampled_case_has_no_span_and_its_decision_names_its_trace(collector: Collector) -> None:
    quiet = Trace(CAUSE.parent[:-2] + "00", "vendor=x")
    desk = MemoryDesk(tracer=(tracer := tracer_to(collector.url, DeskMetrics())))
    run(decided(desk, a_case(1), quiet))
    tracer.close(60)
    assert desk.caused_by == [quiet]
    assert collector.spans == []


@pytest.mark.parametrize("traceparent", [b"read this", b"\xff\xfe", b""])
def test_a_malformed_trace_changes_nothing(traceparent: bytes) -> None:
    desk = MemoryDesk()
    case = a_case(1)

    async def steps() -> None:
        await desk.receive(record("review-cases", case.id, encode(case), [("traceparent", traceparent)]))
        await desk.decide(case, KIM, "at_risk", severity="high")
        await desk.settle(case.id)

    run(steps())
    assert desk.caused_by == [None]


def test_who_is_erased_has_no_trace_any_more() -> None:
    desk = MemoryDesk()
    case = a_case(1)

    async def steps() -> None:
        await desk.agents.on_case(arrives(case))  # type: ignore[arg-type]
        before = desk.table.get(case_key(case.id))
        assert isinstance(before, CaseState)
        assert before.trace == CAUSE
        asked = erasure_id("message", case.message_id)
        await desk.deliver(CaseEvent("e", asked, 0, "erased", "uma", desk.clock()))
        await desk.decide(case, KIM, "at_risk", severity="high")
        await desk.settle(case.id)

    run(steps())
    assert desk.caused_by == [None]


def test_a_broken_table_write_leaves_no_span_and_the_next_try_has_one(
    collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = MemoryDesk(tracer=(tracer := tracer_to(collector.url, DeskMetrics())))
    case = a_case(1)
    put = desk.table.put

    async def refuse(*_: object, **__: object) -> None:
        monkeypatch.setattr(desk.table, "put", put)
        raise ConnectionError

    monkeypatch.setattr(desk.table, "put", refuse)

    async def steps() -> None:
        with pytest.raises(ConnectionError):
            await desk.agents.on_case(arrives(case))  # type: ignore[arg-type]
        await desk.agents.on_case(arrives(case))  # type: ignore[arg-type]

    run(steps())
    tracer.close(60)
    (span,) = collector.spans
    state = desk.table.get(case_key(case.id))
    assert isinstance(state, CaseState)
    assert state.trace == Trace(f"00-{span.trace_id}-{span.span_id}-01", "vendor=x")
