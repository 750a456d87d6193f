"""The waiting line: who is admitted, who comes next. No engine, no clock but the test's."""

import math
from contextlib import nullcontext

import pytest
from hypothesis import given
from hypothesis import strategies as st

from front.call import Call, Portion
from front.errors import BusyError, RefusedError
from front.line import HOLD, RETURN_S, Line
from front.texts import entry_of
from worker.stream.pace import Pace

TEXT = "x" * 396  # 100 tokens, as estimated
RATE = 1000  # tokens a second


class Calls:
    """A line with a clock that stands still, and what its calls were told."""

    def __init__(self, *, measured: bool = True, **limits: float) -> None:
        pace = Pace()
        if measured:
            pace.note(RATE, 1.0)
        self.now = 0.0
        self.ticks = 0.0  # seconds that pass whenever somebody looks at the clock
        self.coming: list[str] = []  # one of them asks whenever somebody looks at the clock
        self.told: dict[str, Exception | None] = {}
        self.line = Line(
            pace,
            deadline_s=limits.get("deadline_s", 5.0),
            batch_s=limits.get("batch_s", 100.0),
            max_tokens=int(limits.get("max_tokens", 10**6)),
            max_records=int(limits.get("max_records", 1000)),
            max_message_tokens=4096,
            clock=self.tick,
        )

    def tick(self) -> float:
        self.now += self.ticks
        if self.coming:
            (name, *others), self.coming = self.coming, []  # admitting looks at the clock too
            self.admit(name)
            self.coming = others
        return self.now

    def admit(self, name: str, texts: int = 1, text: str = TEXT) -> Call:
        call = Call([entry_of(text) for _ in range(texts)], lambda error: self.told.update({name: error}))
        self.line.admit(call)
        return call

    def take(self) -> Portion:
        portion = self.line.take()
        assert portion is not None
        return portion


def texts(portion: Portion) -> list[int]:
    return [count for _, count in portion.calls]


def test_a_batch_takes_all_that_wait_and_waits_for_those_who_were_just_answered() -> None:
    calls = Calls(deadline_s=100.0)
    for number in range(64):
        calls.admit(str(number))
    for turn in range(3):
        portion = calls.take()
        assert len(portion.batch.entries) == 64
        calls.now += 0.1  # the engine reads
        calls.line.settle(portion)
        calls.coming = [f"{turn}.{number}" for number in range(64)]


def test_who_does_not_come_back_holds_nobody_up_for_long() -> None:
    calls = Calls(deadline_s=100.0)
    for number in range(3):
        calls.admit(str(number))
    portion = calls.take()
    calls.now += 10.0
    calls.line.settle(portion)
    calls.admit("came back")
    calls.ticks = 10.0 * HOLD / 4  # the clock goes on while the line waits
    assert len(calls.take().batch.entries) == 1
    assert calls.now < 10.0 + 10.0 * HOLD * 2


def read(calls: Calls, *, took: float, away: float) -> int:
    """Have a batch read, and its callers come back `away` seconds later. Returns how many were left."""
    portion = calls.take()
    left = len(calls.line._waiting)
    calls.now += took
    calls.line.settle(portion)
    calls.now += away
    for _ in portion.calls:
        calls.admit("came back")
    return left


def test_where_the_device_is_fast_something_is_left_to_read_while_callers_are_away() -> None:
    calls = Calls(deadline_s=100.0)
    for number in range(64):
        calls.admit(str(number))
    left = [read(calls, took=0.32, away=0.03) for _ in range(20)]
    assert left[0] == 0  # nobody knew
    assert 3 <= left[-1] <= 8  # of 64: 9 % of the time


def test_at_least_half_of_the_calls_are_read_and_one_that_is_alone_is() -> None:
    calls = Calls(deadline_s=100.0)
    for number in range(64):
        calls.admit(str(number))
    assert 28 <= [read(calls, took=0.001, away=0.05) for _ in range(30)][-1] <= 32
    while len(calls.line._waiting) > 1:
        calls.line.settle(calls.take())
    assert len(calls.take().calls) == 1


def test_nothing_is_left_where_callers_are_soon_back_or_others_come_long_after() -> None:
    for away in (0.001, 2 * RETURN_S):
        calls = Calls(deadline_s=100.0)
        for number in range(64):
            calls.admit(str(number))
        assert {read(calls, took=0.32, away=away) for _ in range(20)} == {0}


def test_a_full_batch_and_a_closed_line_wait_for_nobody() -> None:
    for full in (True, False):
        calls = Calls(deadline_s=100.0, max_tokens=200)
        for number in range(2):
            calls.admit(str(number))
        portion = calls.take()
        calls.now += 10.0
        calls.line.settle(portion)
        calls.admit("one", texts=2 if full else 1)
        if not full:
            calls.line.close()
        assert len(calls.take().batch.entries) == (2 if full else 1)


def test_a_call_alone_is_read_whole() -> None:
    calls = Calls()
    calls.admit("list", texts=40)
    assert texts(calls.take()) == [40]


def test_a_batch_closes_at_its_tokens_its_time_and_its_records() -> None:
    slow = 0.001  # a batch is never smaller than a device needs to be efficient
    for limits, size in (
        ({"max_tokens": 300}, 3),
        ({"batch_s": 0.7}, 7),
        ({"batch_s": slow}, 5),
        ({"max_records": 3}, 3),
    ):
        calls = Calls(deadline_s=50.0, **limits)
        calls.admit("list", texts=10)
        assert texts(calls.take()) == [size], limits


def test_a_long_list_goes_on_behind_the_others() -> None:
    calls = Calls(max_tokens=300)
    calls.admit("list", texts=8)
    portion = calls.take()
    calls.admit("short")
    order = [texts(portion)]
    while not calls.told.keys() >= {"list", "short"}:
        calls.line.settle(portion)
        if calls.told.keys() >= {"list", "short"}:
            break
        portion = calls.take()
        order.append(texts(portion))
    assert list(calls.told) == ["short", "list"]
    assert sum(map(sum, order)) == 9
    assert calls.told == {"short": None, "list": None}


def test_what_would_wait_longer_than_the_deadline_is_refused_and_told_when_to_come() -> None:
    calls = Calls(deadline_s=2.0)
    calls.admit("reads", texts=10)
    portion = calls.take()
    calls.admit("waits", texts=10)
    with pytest.raises(BusyError) as refused:
        calls.admit("refused", texts=15)
    assert (refused.value.status, refused.value.retry_after_s) == (503, 2)  # 3.5 s of work, 2 s allowed
    calls.line.settle(portion)
    calls.admit("later", texts=10)
    assert calls.line.waiting_tokens == 20 * 100


def test_what_takes_longer_than_the_deadline_by_itself_is_told_so_and_not_to_come_again() -> None:
    calls = Calls(deadline_s=2.0)
    with pytest.raises(RefusedError, match="send fewer texts") as refused:
        calls.admit("refused", texts=21)
    assert refused.value.status == 413
    Calls(deadline_s=2.0, measured=False).admit("unmeasured", texts=30)  # nothing is known: it is read


def test_one_text_is_read_however_slow_the_model_seems_where_nothing_waits() -> None:
    calls = Calls(deadline_s=0.5)
    calls.admit("long", text="x" * 4000)
    with pytest.raises(BusyError):  # and not told that it is too large
        calls.admit("next", text="x" * 4000)
    calls.line.settle(calls.take())
    calls.admit("next", text="x" * 4000)


def test_a_list_is_not_refused_for_good_by_what_was_measured_long_ago() -> None:
    calls = Calls(deadline_s=2.0)
    for refused in (True, False):
        with pytest.raises(RefusedError) if refused else nullcontext():
            calls.admit("list", texts=21)
        calls.now += 2.1
    with pytest.raises(RefusedError):  # something is measured now
        calls.admit("another", texts=21)


def test_a_call_of_which_nothing_is_read_by_its_deadline_is_told_so_while_others_are_read() -> None:
    calls = Calls()
    calls.admit("reads")
    calls.take()
    late = calls.admit("late")
    calls.line.give_up(late)
    assert isinstance(calls.told["late"], BusyError)
    begun = calls.admit("begun")
    calls.take()
    calls.line.give_up(begun)
    assert "begun" not in calls.told
    assert calls.line.waiting_tokens == 100


def test_a_call_that_was_overtaken_by_its_deadline_is_not_read() -> None:
    calls = Calls()
    calls.admit("late")
    calls.now = 5.1
    calls.admit("fresh")
    assert len(calls.take().batch.entries) == 1
    assert isinstance(calls.told["late"], BusyError)
    assert "fresh" not in calls.told


def test_a_call_that_nobody_waits_for_is_not_read() -> None:
    calls = Calls()
    gone = calls.admit("gone", texts=5)
    calls.admit("here")
    calls.line.abandon(gone)
    assert calls.line.waiting_tokens == 100
    assert texts(calls.take()) == [1]


def test_a_closed_line_is_read_to_its_end() -> None:
    calls = Calls()
    calls.admit("last")
    calls.line.close()
    with pytest.raises(BusyError, match="shutting down"):
        calls.admit("too late")
    calls.line.settle(calls.take())
    assert calls.told == {"last": None}
    assert calls.line.take() is None


def test_a_model_that_fails_leaves_nobody_waiting() -> None:
    calls = Calls(max_records=2)
    calls.admit("half read", texts=3)
    portion = calls.take()
    calls.admit("waits")
    fault = ValueError("the device is gone")
    calls.line.settle(portion, fault)
    calls.line.refuse_all(fault)
    assert calls.told == {"half read": fault, "waits": fault}
    assert calls.line.take() is None


@given(
    st.lists(st.tuples(st.integers(1, 9), st.integers(1, 3000)), min_size=1, max_size=30),
    st.integers(1, 2000),
    st.integers(1, 20),
)
def test_every_text_is_read_once_and_every_call_finished_once(
    sizes: list[tuple[int, int]], max_tokens: int, max_records: int
) -> None:
    calls = Calls(deadline_s=math.inf, max_tokens=max_tokens, max_records=max_records)
    admitted = {str(n): calls.admit(str(n), count, "x" * long) for n, (count, long) in enumerate(sizes)}
    read: list[int] = []
    while len(calls.told) < len(sizes):
        portion = calls.take()
        assert len(portion.batch.entries) <= max_records + len(portion.calls)
        read += [entry.record.offset for entry in portion.batch.entries]
        calls.line.settle(portion)
    wanted = [entry.record.offset for call in admitted.values() for entry in call.entries]
    assert sorted(read) == wanted
    assert calls.line.waiting_tokens == 0
