"""Ids repeat when a record does and never otherwise; headers say what and when, and carry the trace."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

import schemas
from schemas.events import Message, Origin, ReviewDecision

TRACE = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
topics = st.text("abcXYZ019._-", min_size=1, max_size=249)
origins = st.builds(
    Origin, topic=topics, partition=st.integers(0, 2**31 - 1), offset=st.integers(0, 2**63 - 1)
)
MAKERS = (schemas.label_id, schemas.case_id, schemas.dead_letter_id)


@given(one=origins, other=origins)
def test_one_record_one_id(one: Origin, other: Origin) -> None:
    for make in MAKERS:
        assert (make(one) == make(other)) == (one == other)
    assert len({make(one) for make in MAKERS}) == len(MAKERS)


def test_an_id_shows_where_its_record_stood() -> None:
    assert schemas.label_id(Origin("mimamori.messages", 3, 1042)) == "label:mimamori.messages:3:1042"


def test_the_longest_origin_gives_ids_that_their_schema_accepts() -> None:
    longest = Origin("t" * 249, 2**31 - 1, 2**63 - 1)
    case = schemas.case_id(longest)
    decision = ReviewDecision(
        schemas.decision_id(case, "r" * 256, 10**6),
        case,
        "m",
        "stress",
        "r" * 256,
        "unsure",
        None,
        None,
        _NOON,
    )
    assert schemas.decode(ReviewDecision, schemas.encode(decision)) == decision
    assert len(schemas.dead_letter_id(longest)) <= 320


@given(
    one=st.tuples(st.text(min_size=1), st.integers(0, 99)),
    other=st.tuples(st.text(min_size=1), st.integers(0, 99)),
)
def test_a_decision_is_itself_again_only_for_the_same_hand_at_the_same_moment(
    one: tuple[str, int], other: tuple[str, int]
) -> None:
    first, second = schemas.decision_id("case:t:0:0", *one), schemas.decision_id("case:t:0:0", *other)
    assert (first == second) == (one == other)


_NOON = datetime(2026, 3, 14, 12, tzinfo=UTC)


def test_headers_are_cloudevents_in_binary_mode() -> None:
    decision = ReviewDecision("d-1", "c-1", "m-1", "stress", "amara", "unsure", None, None, _NOON)
    assert dict(schemas.event_headers(decision, schemas.Trace(TRACE.decode(), "a=b").headers)) == {
        "ce_id": b"d-1",
        "ce_specversion": b"1.0",
        "ce_type": b"mimamori.review-decision",
        "ce_source": b"urn:mimamori:review",
        "ce_dataschema": b"urn:mimamori:review-decision:2",
        "ce_time": b"2026-03-14T12:00:00+00:00",
        "content-type": b"application/json",
        "traceparent": TRACE,
        "tracestate": b"a=b",
    }


def test_what_has_no_time_and_no_trace_names_none() -> None:
    names = [name for name, _ in schemas.event_headers(Message("é", "hello"))]
    assert "ce_time" not in names
    assert "traceparent" not in names


def test_headers_of_one_event_are_not_shared_with_the_next() -> None:
    schemas.event_headers(Message("a", "x")).append(("more", b""))
    assert "more" not in dict(schemas.event_headers(Message("b", "x")))


def test_a_trace_is_found_among_other_headers() -> None:
    found = schemas.Trace(TRACE.decode())
    assert schemas.find_trace([("app", None), ("traceparent", TRACE)]) == found
    assert schemas.find_trace([("traceparent", TRACE.decode())]) == found
    assert schemas.names_a_trace([("app", None), ("traceparent", b"whatever")])


@pytest.mark.parametrize(
    "value",
    [
        None,
        b"",
        b"please read this",
        TRACE + b"\n",
        TRACE.upper(),
        b"ff" + TRACE[2:],
        b"00-" + b"0" * 32 + TRACE[35:],
        TRACE[:36] + b"0" * 16 + TRACE[52:],
        TRACE + b"-please-read-this",
        TRACE[:-1] + "é".encode(),
        b"\xff" * 55,
        "٣".join(TRACE.decode().split("3")),
    ],
)
def test_what_is_no_trace_is_dropped(value: bytes | str | None) -> None:
    assert schemas.find_trace([("traceparent", value), ("tracestate", b"a=b")]) is None


def test_a_record_without_headers_has_no_trace() -> None:
    for headers in (None, [], [("tracestate", b"a=b")]):
        assert schemas.find_trace(headers) is None
        assert not schemas.names_a_trace(headers)


@pytest.mark.parametrize("last", ["00", "01", "02", "03", "ff"])
def test_the_last_bit_of_a_trace_says_whether_it_is_sampled(last: str) -> None:
    assert schemas.Trace(TRACE.decode()[:-2] + last).sampled == (last in {"01", "03", "ff"})


@pytest.mark.parametrize(
    "state", ["a=1", "rojo=00f067aa0ba902b7, congo=t61rcWkgMzE", "9t@sys=x y:z", ",a=b,"]
)
def test_a_state_goes_on_with_its_trace(state: str) -> None:
    found = schemas.find_trace([("tracestate", state.encode()), ("traceparent", TRACE)])
    assert found == schemas.Trace(TRACE.decode(), state)


@pytest.mark.parametrize(
    "state",
    [
        b"",
        b" ,\t,",
        b"I feel alone",
        b"a=b\n",
        b"A=b",
        "a=é".encode(),
        b"a=b=c",
        b"a=" + b"x" * 257,
        b",".join(b"k%d=" % number + b"x" * 168 for number in range(3)),  # 515 characters
        b",".join(b"k%d=v" % number for number in range(33)),
        (b" " * 15 + b",") * 31 + b"!",  # one expression for all members would need years for it
    ],
)
def test_what_is_no_state_is_dropped_and_the_trace_stays(state: bytes) -> None:
    assert schemas.find_trace([("traceparent", TRACE), ("tracestate", state)]) == schemas.Trace(
        TRACE.decode()
    )
