"""Spans against a small real collector: what arrives, what is dropped and counted, and that nobody waits."""

import socket
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from mimamori.doctor import examine
from review.errors import DeskError
from review.kafka.traces import open_spans as open_desk_spans
from review.metrics import DeskMetrics
from review.settings import ReviewSettings
from schemas.headers import Trace, find_trace
from tests.fakes.collector import Collector, collecting
from tracing import sending
from tracing.destination import Destination
from tracing.limit import Limit
from tracing.sending import OtlpTracer
from tracing.waiting import QUEUE
from worker.settings import Settings
from worker.startup import open_spans
from worker.telemetry.metrics import Metrics

CAUSE = Trace("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "vendor=x")
Counts = Counter[str]


@contextmanager
def tracing(url: str, *, ratio: float = 1.0, at_most: float = 1e6) -> Iterator[tuple[OtlpTracer, Counts]]:
    counts: Counts = Counter()
    tracer = OtlpTracer(
        Destination(f"{url}/v1/traces", {"authorization": "Bearer secret"}, None),
        lambda outcome, spans: counts.update({outcome: spans}),
        service="a-worker",
        version="0",
        instance="here",
        ratio=ratio,
        at_most=at_most,
    )
    yield tracer, counts


def dead_port() -> str:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{one.getsockname()[1]}"


def test_a_message_goes_on_with_its_trace_and_links_to_its_batch() -> None:
    with collecting() as collector, tracing(collector.url) as (tracer, counts):
        batch = tracer.of_batch("process t", {"count": 2}, [CAUSE], at=1000.0)
        span = tracer.of_message("process t", "consumer", {"place": "3"}, CAUSE, batch=batch, at=1000.5)
        batch.note("committing", 1001.0)
        span.end()
        batch.end(1002.0, fault="RetryableError")
        tracer.close(60)
    sent = {each.name if not each.state else "message": each for each in collector.spans}
    message, whole = sent["message"], sent["process t"]
    assert message.trace_id == CAUSE.parent[3:35]
    assert (message.parent_id, message.state) == (CAUSE.parent[36:52], "vendor=x")
    assert span.trace == Trace(f"00-{message.trace_id}-{message.span_id}-01", "vendor=x")
    assert (message.kind, message.attributes, message.links) == (5, {"place": "3"}, [whole.span_id])
    assert whole.links == [CAUSE.parent[36:52]]
    assert whole.trace_id != message.trace_id
    assert (whole.events, whole.failed, message.failed) == (["committing"], True, False)
    assert {each.service for each in collector.spans} == {"a-worker"}
    assert {each["authorization"] for each in collector.headers} == {"Bearer secret"}
    assert counts == {"sent": 2}


@pytest.mark.parametrize(("ratio", "expected"), [(0.0, {"linked"}), (1.0, {"linked", "alone"})])
def test_a_batch_with_a_sampled_message_is_recorded_and_others_by_chance(
    ratio: float, expected: set[str]
) -> None:
    with collecting() as collector, tracing(collector.url, ratio=ratio) as (tracer, _):
        alone = tracer.of_batch("alone", {}, [])
        for span in (alone, tracer.of_batch("linked", {}, [CAUSE])):
            span.end()
        tracer.close(60)
    assert {each.name for each in collector.spans} == expected


def test_what_is_above_the_limit_is_counted() -> None:
    with tracing(dead_port(), at_most=3) as (tracer, counts):
        assert tracer.admits(2) == 2
        assert counts["over_limit"] == 0
        admitted = tracer.admits(1000)
        tracer.close(0)
    assert admitted >= 1
    assert counts["over_limit"] == 1000 - admitted > 0


def test_the_limit_is_a_rate_and_a_second_of_it_may_come_at_once() -> None:
    now = 0.0
    limit = Limit(2, lambda: now)
    assert [limit.admits(1) for _ in range(3)] == [1, 1, 0]
    now = 0.5
    assert limit.admits(5) == 1
    now = 100.0
    assert [limit.admits(5), limit.admits(1)] == [2, 0]
    assert Limit(0.1).admits(9) == 1


def test_where_far_more_is_sampled_few_batches_have_spans_and_as_many_messages() -> None:
    now = 0.0
    limit = Limit(20, lambda: now)
    assert limit.admits(500) == 20
    admitted = []
    for step in range(1, 201):  # twenty batches a second, for ten seconds
        now = step / 20 + 1e-6
        admitted.append(limit.admits(500))
    assert sum(admitted) == 200
    assert {each for each in admitted if each} == {5}


def test_one_after_the_other_is_admitted_as_long_as_there_is_some_left() -> None:
    now = 0.0
    limit = Limit(8, lambda: now)
    assert [limit.admits(1) for _ in range(9)] == [1] * 8 + [0]
    now = 0.2  # 1.6 of the two that it waits for
    assert limit.admits(1) == 0
    now = 0.25
    assert [limit.admits(1) for _ in range(3)] == [1, 1, 0]


@pytest.mark.parametrize("fault", ["dead", "stalled"])
def test_nobody_waits_for_a_collector_and_what_it_does_not_take_is_counted(
    fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sending, "ANSWER_S", 3600.0)  # whoever waited for it would never be done here
    with collecting(stalled=True) as collector:
        url = collector.url if fault == "stalled" else dead_port()
        with tracing(url) as (tracer, counts):
            for _ in range(QUEUE + 1000):
                tracer.of_message("a", "consumer", {}, CAUSE).end()
            if fault == "stalled":
                assert collector.asked.wait(60)
            tracer.close(0.1)
        assert counts == {"queue_full": 1000, "not_taken": QUEUE}
        assert collector.spans == []


def test_one_line_says_that_a_collector_takes_no_spans_and_one_that_it_does_again(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def send(collector: Collector) -> None:
        before = len(collector.spans)
        while len(collector.spans) == before and not collector.refusing:
            tracer.of_message("a", "consumer", {}, CAUSE).end()
            tracer.flush()
        if collector.refusing:
            for _ in range(3):
                tracer.of_message("a", "consumer", {}, CAUSE).end()
                tracer.flush()

    with collecting(refusing=True) as collector, tracing(collector.url) as (tracer, counts):
        send(collector)
        collector.refusing = False
        send(collector)
        tracer.close(60)
    assert counts == {"not_taken": 3, "sent": 1}
    said = capsys.readouterr()
    assert (said.out + said.err).count("spans_not_taken") == 1
    assert (said.out + said.err).count("spans_taken_again") == 1
    assert "secret" not in said.out + said.err


_bytes = st.binary(max_size=60) | st.text(max_size=60).map(str.encode)
_hexadecimal = "0123456789abcdef"
_parents = st.tuples(*(st.text(_hexadecimal, min_size=n, max_size=n) for n in (2, 32, 16, 2)))
_printable = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=9)
_members = st.tuples(st.text("ab09@*_/-", min_size=1, max_size=9), _printable).map("=".join)
_states = st.lists(_members | _printable, max_size=40).map(",".join)


@hypothesis_settings(deadline=None)
@given(_parents.map("-".join).map(str.encode) | _bytes, _states.map(str.encode) | _bytes)
def test_whatever_a_producer_writes_into_the_headers_makes_a_span_or_none(
    endless: OtlpTracer, parent: bytes, state: bytes
) -> None:
    trace = find_trace([("traceparent", parent), ("tracestate", state)])
    if trace is None:
        return
    span = endless.of_message("a", "consumer", {}, trace, batch=endless.of_batch("b", {}, [trace]))
    assert span.trace.parent[3:35] == trace.parent[3:35]
    assert span.trace.state == trace.state
    span.end()


@pytest.fixture(scope="module")
def endless() -> Iterator[OtlpTracer]:
    with tracing(dead_port()) as (tracer, _):
        yield tracer
        tracer.close(0)


def test_without_the_extra_an_endpoint_is_one_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "tracing.sending")
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.resources", None)
    with pytest.raises(Exception, match=r"pip install '\.\[traces\]'") as worker:
        open_spans(Settings(traces_endpoint="http://c:4318"), Metrics())
    assert "MIMAMORI_TRACES_ENDPOINT needs opentelemetry" in str(worker.value)
    desk = ReviewSettings.model_validate({"traces_endpoint": "http://c:4318"})
    with pytest.raises(DeskError, match=r"REVIEW_TRACES_ENDPOINT needs .*'\.\[traces\]'"):
        open_desk_spans(desk, DeskMetrics())
    assert open_spans(Settings(), Metrics()) is None
    assert "'.[traces]'" in found(Settings(traces_endpoint="http://c:4318"))


def test_doctor_says_where_spans_go() -> None:
    assert "no spans are sent" in found(Settings())
    assert "http://c:4318/v1/traces" in found(Settings(traces_endpoint="http://c:4318"))


def found(settings: Settings) -> str:
    return next(each.detail for each in examine(settings) if each.check == "traces")


def test_a_collector_that_sends_elsewhere_takes_nothing() -> None:
    """A login page, say: the exporter counts every answer below 400 as taken."""
    with collecting(refusing=True) as collector:
        collector.refuses_with = 302
        with tracing(collector.url) as (tracer, counts):
            tracer.of_message("a", "consumer", {}, CAUSE).end()
            tracer.close(30)
        assert counts == {"not_taken": 1}
