"""What an engine fails on is found in halves; an engine that fails on everything refuses nothing."""

import json
import math
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import DeviceError
from engine.scores import Scores
from mimamori.soak.canned_engine import CannedEngine
from schemas.events import Message
from tests.fakes.worker_app import POLICY, build_pipeline
from worker.kafka.record import Record
from worker.stream.batch import Batch, Entry
from worker.stream.bisection import CONTROL, read_in_halves
from worker.stream.decode import decode
from worker.stream.routing import Routing
from worker.stream.screener import Screener

TEXTS = [f"text {number}" for number in range(12)]


class Asked:
    """Answers a text with its length, and fails where one of `poison` is among those asked."""

    def __init__(self, poison: Sequence[str] = ()) -> None:
        self.poison = set(poison)
        self.calls: list[list[str]] = []

    def __call__(self, texts: Sequence[str]) -> list[int]:
        self.calls.append(list(texts))
        if self.poison & set(texts):
            raise IndexError("some text of a person")
        return [len(text) for text in texts]


@given(st.lists(st.text(max_size=5), unique=True, max_size=40), st.data())
def test_exactly_the_poisonous_are_refused_with_bounded_work(texts: list[str], data: st.DataObject) -> None:
    poison = data.draw(st.lists(st.sampled_from(texts), unique=True) if texts else st.just([]))
    ask = Asked(poison)
    answers, refused = read_in_halves(ask, texts)
    assert answers == {text: len(text) for text in texts if text not in poison}
    assert refused.keys() == set(poison)
    depth = math.ceil(math.log2(len(texts))) if texts else 0
    assert len(ask.calls) <= 1 + len(poison) * (2 * depth + 2)


def test_an_engine_that_is_gone_is_given_up_after_one_way_down() -> None:
    class Gone(Asked):
        def __call__(self, texts: Sequence[str]) -> list[int]:
            self.calls.append(list(texts))
            raise DeviceError("the device has gone")

    ask = Gone()
    with pytest.raises(DeviceError, match=r"^the device has gone$"):
        read_in_halves(ask, [str(number) for number in range(64)])
    assert [len(call) for call in ask.calls] == [64, 32, 16, 8, 4, 2, 1, 1]
    assert ask.calls[-1] == [CONTROL]


def test_a_text_that_takes_the_engine_with_it_condemns_no_other() -> None:
    class Killed(Asked):
        def __call__(self, texts: Sequence[str]) -> list[int]:
            if self.poison & set(texts):
                self.poison |= {*TEXTS, CONTROL}
            return super().__call__(texts)

    with pytest.raises(IndexError):
        read_in_halves(Killed([TEXTS[3]]), TEXTS)


@pytest.mark.parametrize("failures", [1, 2, 4, 5])
def test_a_fault_that_passes_costs_no_label(failures: int) -> None:
    class Shaky(Asked):
        def __call__(self, texts: Sequence[str]) -> list[int]:
            self.calls.append(list(texts))
            if len(self.calls) <= failures and texts != [CONTROL]:
                raise DeviceError("busy")
            return [len(text) for text in texts]

    answers, refused = read_in_halves(Shaky(), TEXTS)
    assert answers.keys() == set(TEXTS)
    assert not refused


def test_one_message_alone_is_held_against_the_control_text() -> None:
    assert read_in_halves(Asked(["a"]), ["a"])[1].keys() == {"a"}
    with pytest.raises(IndexError):
        read_in_halves(Asked(["a", CONTROL]), ["a"])


def test_too_few_answers_are_never_dealt_out() -> None:
    with pytest.raises(ValueError, match="shorter"):
        read_in_halves(lambda texts: [0] * (len(texts) - 1), TEXTS)


class PoisonedEngine(CannedEngine):
    """Fails wherever `poison` is among the texts, at the stage named."""

    def __init__(self, stage: str, poison: set[str]) -> None:
        super().__init__(levels=3, reading="prompted")
        self._stage, self._poison = stage, poison

    def read(self, texts: Sequence[str]) -> list[Scores]:
        self._taste("read", texts)
        return super().read(texts)

    def grade(self, texts: Sequence[str]) -> list[tuple[float, ...]]:
        self._taste("grade", texts)
        return super().grade(texts)

    def _taste(self, stage: str, texts: Sequence[str]) -> None:
        if stage == self._stage and self._poison & set(texts):
            raise DeviceError("it hurts")


def batch_of(texts: Sequence[str]) -> Batch:
    records = [
        Record("messages", 0, offset, b"k", json.dumps({"id": "m", "text": text}).encode())
        for offset, text in enumerate(texts)
    ]
    return Batch(0, 0.0, [Entry(record, decode(record.value, frozenset(), 1000)) for record in records])


@given(st.lists(st.sampled_from(TEXTS), max_size=30), st.sets(st.sampled_from(TEXTS), max_size=11))
def test_poisoned_records_and_they_alone_are_rejected_in_place(texts: list[str], poison: set[str]) -> None:
    texts.append(next(text for text in TEXTS if text not in poison))  # something can be read
    batch = batch_of(texts)
    offsets = batch.offsets
    Screener(Routing(build_pipeline(PoisonedEngine("read", poison)))).screen(batch)
    assert batch.offsets == offsets
    for entry, text in zip(batch.entries, texts, strict=True):
        if text in poison:
            assert entry.rejection is not None
            assert entry.rejection.reason == "unscreenable"
            assert (entry.message, entry.scores) == (None, None)
            assert text not in entry.rejection.detail
        else:
            assert entry.rejection is None
            assert entry.message is not None
            assert entry.message.text == text
            assert entry.scores is not None


def test_a_message_of_which_only_the_severity_fails_keeps_its_risk_and_goes_to_people_first() -> None:
    batch = batch_of(TEXTS)
    Screener(Routing(build_pipeline(CannedEngine(levels=3, reading="prompted")))).screen(batch)
    risky = next(e.message for e in batch.entries if e.message and e.scores and e.scores.severity)
    again = batch_of(TEXTS)
    Screener(Routing(build_pipeline(PoisonedEngine("grade", {risky.text})))).screen(again)
    rulings = {}
    for entry in again.entries:
        assert entry.message is not None
        assert entry.scores is not None
        rulings[entry.message.text] = POLICY.rule(entry.scores, None, "id")
    assert rulings[risky.text].verdict != "clear"
    assert rulings[risky.text].priority >= 50


@pytest.mark.parametrize("stage", ["read", "grade"])
def test_two_poisonous_messages_of_a_rare_task_do_not_stop_the_others(stage: str) -> None:
    rare = build_pipeline(PoisonedEngine(stage, {"x", "y"}), task="suicide-risk", fingerprint="rare")
    routing = Routing(build_pipeline(PoisonedEngine(stage, {"p"})), rare)

    def batch(*texts: tuple[str, str]) -> Batch:
        made = batch_of([text for text, _ in texts])
        for entry, (text, task) in zip(made.entries, texts, strict=True):
            entry.message = Message("m", text, task)
            entry.pipeline = routing.of(entry.message)
            if stage == "grade":
                entry.scores = Scores(0.99, None, 1, truncated=False)
        return made

    few = batch(("a", "stress"), ("x", "suicide-risk"), ("y", "suicide-risk"))
    Screener(routing).screen(few)
    if stage == "read":
        assert [entry.rejection is None for entry in few.entries] == [True, False, False]
    assert all(entry.scores for entry in few.entries if entry.rejection is None)
    with pytest.raises(DeviceError, match="every message of a batch of 3 "):
        Screener(routing).screen(batch(("p", "stress"), ("x", "suicide-risk"), ("y", "suicide-risk")))
