"""Seconds of work: tokens that wait, at the rate that was measured; what is never read counts for nothing."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.kafka.record import Record
from worker.stream.backlog import MEMORY, Backlog
from worker.stream.batch import Entry
from worker.stream.pace import Pace

TOPIC = "mimamori.messages"


def entry(offset: int, tokens: int, partition: int = 0) -> Entry:
    return Entry(Record(TOPIC, partition, offset, b"k", b"{}"), tokens=tokens)


def measured(rate: float = 1000.0) -> Pace:
    pace = Pace()
    pace.note(int(rate * 10), 10.0)
    return pace


def test_nothing_is_said_before_a_rate_was_measured_and_a_record_read() -> None:
    cold = Backlog(Pace())
    assert cold.seconds(10_000, 500) is None
    cold.read([entry(0, 20)])
    assert cold.seconds(10_000, 500) is None
    assert Backlog(measured()).seconds(10_000, 500) is None


def test_it_is_what_waits_at_the_rate_that_was_measured() -> None:
    backlog = Backlog(measured(1000))
    for offset in range(50):
        backlog.read([entry(offset, 20)])
    assert backlog.seconds(lag=5_000, tokens_in_hand=3_000) == pytest.approx(103)
    assert backlog.seconds(lag=0, tokens_in_hand=0) == 0


@pytest.mark.parametrize("polled", [1, 7, 500])
@pytest.mark.parametrize("transaction", [1, 2, 10])
def test_transaction_markers_do_not_count(transaction: int, polled: int) -> None:
    """A marker follows each transaction's records: it takes an offset, and nobody reads it."""
    backlog = Backlog(measured(1000))
    records = [offset for offset in range(1100) if offset % (transaction + 1) < transaction]
    for first in range(0, len(records), polled):
        backlog.read([entry(offset, 20) for offset in records[first : first + polled]])
    left = 600 * (transaction + 1)  # offsets of 600 more transactions
    assert backlog.seconds(left, 0) == pytest.approx(600 * transaction * 20 / 1000, rel=0.01)


def test_messages_that_the_model_need_not_read_are_no_work() -> None:
    backlog = Backlog(measured(1000))
    for offset in range(100):
        backlog.read([entry(offset, 0)])
    assert backlog.seconds(lag=1_000_000, tokens_in_hand=0) == 0


def test_it_follows_a_stream_whose_messages_grow() -> None:
    backlog = Backlog(measured(1000))
    for offset in range(20_000):
        backlog.read([entry(offset, 10 if offset < 10_000 else 100)])
    assert backlog.seconds(1000, 0) == pytest.approx(100, rel=0.15)
    assert MEMORY < 10_000


def test_records_that_another_worker_read_meanwhile_are_no_gap() -> None:
    for forgotten in (True, False):
        backlog = Backlog(measured(1000))
        backlog.read([entry(0, 20)])
        if forgotten:
            backlog.forget([(TOPIC, 0)])
        backlog.read([entry(1_000, 20)])
        seconds = backlog.seconds(1000, 0)
        assert seconds is not None
        assert (seconds == pytest.approx(20)) is forgotten


@given(
    st.lists(st.tuples(st.integers(0, 2), st.lists(st.integers(0, 3), max_size=9), st.booleans()), min_size=1)
)
def test_a_poll_at_once_is_its_records_one_by_one(polls: list[tuple[int, list[int], bool]]) -> None:
    """Offsets have gaps, partitions take turns, and here and there one is read from its start again."""
    together, single = Backlog(measured(1000)), Backlog(measured(1000))
    reached = [0, 0, 0]
    for partition, gaps, again in polls:
        if again:
            reached[partition] = 0
        read = []
        for gap in gaps:
            reached[partition] += gap + 1
            read.append(entry(reached[partition], 20, partition))
        together.read(read)
        for one in read:
            single.read([one])
    if any(gaps for _, gaps, _ in polls):
        assert together.seconds(1000, 0) == pytest.approx(single.seconds(1000, 0), rel=0.02)
    else:
        assert together.seconds(1000, 0) is None


@given(
    st.lists(
        st.lists(
            st.tuples(st.integers(0, 2), st.integers(0, 10**9), st.integers(0, 100_000)),
            min_size=1,
            max_size=5,
        ),
        min_size=1,
    ),
    st.integers(0, 10**12),
    st.integers(0, 10**7),
)
def test_whatever_offsets_come_it_stays_between_nothing_and_the_longest_messages(
    polls: list[list[tuple[int, int, int]]], lag: int, in_hand: int
) -> None:
    """In a batch that is not compressed, offsets are a producer's words, and may go back within a poll."""
    backlog = Backlog(measured(1000))
    for poll in polls:
        backlog.read([entry(offset, tokens, partition) for partition, offset, tokens in poll])
    seconds = backlog.seconds(lag, in_hand)
    assert seconds is not None
    most = (in_hand + lag * max(tokens for poll in polls for *_, tokens in poll)) / 1000
    assert in_hand / 1000 <= seconds <= most * 1.001
