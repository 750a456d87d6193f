"""One worker, several tasks and a canary: every message goes to one bundle, and always to that one."""

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

import schemas
from engine.errors import SettingsError
from engine.scores import Scores
from engine.task import load_task
from mimamori.soak.canned_engine import CannedEngine
from schemas.events import DeadLetter, Label, Message, ReviewCase
from tests.fakes.memory_broker import MemoryBroker
from tests.fakes.tiny_bundle import TASK, write_tiny_bundle
from tests.fakes.worker_app import POLICY, build_pipeline, settings
from tests.unit.worker.test_stream import (
    CASES,
    DEAD,
    LABELS,
    assert_exactly_once,
    drain,
    make_broker,
    send,
    start,
)
from worker.cache.score_cache import LocalCache
from worker.settings_source import load_settings
from worker.startup import load_bundles
from worker.stream.pipeline import Pipeline
from worker.stream.routing import Canary, Routing
from worker.telemetry.metrics import Metrics

STRESS, RISK, NEW = (
    build_pipeline(fingerprint="stress"),
    build_pipeline(task="suicide-risk", fingerprint="risk"),
    build_pipeline(fingerprint="new"),
)
TASKS = st.none() | st.sampled_from(["stress", "suicide-risk"])
IDS = st.text(min_size=1, max_size=40)
SHARES = st.floats(0, 1)


def served(share: float = 0.0, canary: Pipeline = NEW) -> Routing:
    return Routing(STRESS, RISK, canary=Canary(canary, share) if share else None)


@given(IDS, TASKS, SHARES)
def test_every_message_of_a_task_that_is_served_goes_to_one_bundle_of_that_task(
    message_id: str, task: str | None, share: float
) -> None:
    message = Message(message_id, "text", task)
    chosen = served(share).of(message)
    assert chosen.task.name == (task or "stress")
    assert chosen in {STRESS, NEW} if task != "suicide-risk" else chosen is RISK
    # The words, the author, the time and another worker with these settings change nothing.
    again = msgspec.structs.replace(message, text="other", author_id="a", language="en")
    assert served(share).of(again) is chosen


@given(st.lists(IDS, unique=True), SHARES, SHARES)
def test_a_larger_share_only_adds_to_the_canarys_messages(ids: list[str], one: float, other: float) -> None:
    smaller, larger = (
        {each for each in ids if served(share).of(Message(each, "text")) is NEW}
        for share in sorted((one, other))
    )
    assert smaller <= larger
    assert {served(1.0).of(Message(each, "text")) for each in ids} <= {NEW}


def test_a_canary_gets_about_its_share() -> None:
    routing = served(0.1)
    found = sum(routing.of(Message(f"m{n}", "text")) is NEW for n in range(20_000))
    assert found == pytest.approx(2000, abs=150)  # three and a half standard deviations


class Noting(CannedEngine):
    """A canned engine that notes the texts that it reads."""

    def __init__(self, levels: int) -> None:
        super().__init__(levels=levels)
        self.seen: list[str] = []

    def read(self, texts: Sequence[str]) -> list[Scores]:
        self.seen += texts
        return super().read(texts)


def message(number: int, task: str | None = None) -> bytes:
    named = {} if task is None else {"task": task}
    return json.dumps({"id": f"m{number}", "text": f"a quiet evening {number}"} | named).encode()


def labels_of(broker: MemoryBroker) -> list[Label]:
    return [schemas.decode(Label, record.value or b"") for record in broker.read(LABELS)]


def test_a_worker_screens_each_task_with_its_own_bundle_and_no_other() -> None:
    """One batch holds them all, and none overtakes; what no bundle is for is never screened by another's."""
    broker, metrics = make_broker(), Metrics()
    tasks = [None, "stress", "suicide-risk", "scams"]
    send(broker, *(message(n, tasks[n % 4]) for n in range(160)))
    engines = {"stress": Noting(3), "suicide-risk": Noting(5)}
    stress, risk = (
        build_pipeline(engine, task=task, fingerprint=f"of {task}") for task, engine in engines.items()
    )
    drain(broker, [start(broker, settings(), routing=Routing(stress, risk), metrics=metrics)])
    assert_exactly_once(broker)
    for label in labels_of(broker):
        wanted = tasks[int(label.message_id[1:]) % 4] or "stress"
        assert (label.task, label.bundle) == (wanted, f"of {wanted}")
    for task, kinds in {"stress": {0, 1}, "suicide-risk": {2}}.items():
        assert {int(text.rsplit(" ", 1)[1]) % 4 for text in engines[task].seen} == kinds
    letters = [schemas.decode(DeadLetter, record.value or b"") for record in broker.read(DEAD)]
    assert [(x.reason, x.detail) for x in letters] == [
        ("unknown_task", "this worker screens for stress, suicide-risk")
    ] * 40
    cases = [schemas.decode(ReviewCase, record.value or b"") for record in broker.read(CASES)]
    assert {(case.task, tuple(case.levels)) for case in cases} == {
        (task, load_task(task).level_names) for task in engines
    }
    counted = Counter((x.task, x.bundle, x.verdict) for x in labels_of(broker))
    for (task, bundle, verdict), count in counted.items():
        found = {"task": task, "bundle": bundle, "verdict": verdict}
        assert metrics.registry.get_sample_value("mimamori_labels_by_bundle_total", found) == count


def test_a_canary_goes_up_and_back_by_restarts_and_each_message_keeps_its_bundle() -> None:
    """A roll-out over one stream: 0, a tenth, half, all, and back. Each message is labelled once."""
    broker = make_broker()
    for step, share in enumerate((0.0, 0.1, 0.5, 1.0, 0.1, 0.0)):
        send(broker, *(message(n) for n in range(step * 60, step * 60 + 60)))
        drain(broker, [start(broker, settings(), routing=served(share))])
        assert_exactly_once(broker)
        ours = [x for x in labels_of(broker) if step * 60 <= int(x.message_id[1:]) < step * 60 + 60]
        assert len(ours) == 60
        for label in ours:
            assert label.bundle == served(share).of(Message(label.message_id, "")).fingerprint
        assert {x.bundle for x in ours} == {0.0: {"stress"}, 1.0: {"new"}}.get(share, {"stress", "new"})


def test_each_bundle_has_its_own_scores_of_a_text_that_several_read() -> None:
    """A cache that mixed them would give a message of one task the risk of another."""
    hits: Counter[str] = Counter()

    def cached(engine: CannedEngine, task: str) -> Pipeline:
        def tell(event: str, count: int) -> None:
            hits[event] += count

        return build_pipeline(
            engine, LocalCache(b"secret", engine.identity.digest, 10, tell), POLICY, task=task
        )

    broker = make_broker(1)
    text = {"text": "the same words"}
    of_tasks = Routing(
        cached(CannedEngine(levels=3), "stress"), cached(CannedEngine(levels=5), "suicide-risk")
    )
    for turn in range(2):
        values = [json.dumps({"id": f"{turn}{task}", "task": task} | text) for task in sorted(of_tasks.tasks)]
        send(broker, *(value.encode() for value in values))
        drain(broker, [start(broker, settings(), routing=of_tasks)])
    labels = labels_of(broker)
    assert [(x.task, x.cached, x.severity and len(x.severity.scores)) for x in labels] == [
        ("stress", False, 3),
        ("suicide-risk", False, 5),
        ("stress", True, 3),
        ("suicide-risk", True, 5),
    ]
    assert (hits["miss"], hits["local"]) == (2, 2)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"more_bundles": "a, b", "lower": 0.2}, "hold for one bundle's scores"),
        ({"canary_bundle": "new", "upper": 0.9}, "hold for one bundle's scores"),
        ({"canary_share": 0.1}, "CANARY_SHARE needs a MIMAMORI_CANARY_BUNDLE"),
        ({"canary_bundle": "new", "canary_share": 1.1}, "less than or equal to 1"),
        ({"canary_bundle": "new", "shadow": True}, "a shadow labels nothing"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(wrong: dict[str, object], said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        load_settings(**wrong)


def test_bundles_are_listed_with_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MIMAMORI_MORE_BUNDLES", "/bundles/risk, /bundles/scams")
    assert load_settings().more_bundles == (Path("/bundles/risk"), Path("/bundles/scams"))


def test_bundles_that_cannot_be_told_apart_are_refused(tmp_path: Path) -> None:
    other = msgspec.structs.replace(TASK, name="other")
    one, same = write_tiny_bundle(tmp_path / "one"), write_tiny_bundle(tmp_path / "same", seed=1)
    further = write_tiny_bundle(tmp_path / "further", task=other)
    found = load_bundles(settings(one.path, more_bundles=f"{further.path}", canary_bundle=same.path))
    assert [bundle.path for bundle in found.every] == [one.path, further.path, same.path]
    for wrong, said in (
        ({"more_bundles": f"{same.path}"}, "both screen for tiny"),
        ({"canary_bundle": further.path}, "it is a further task"),
        ({"canary_bundle": one.path}, "which runs already"),
    ):
        with pytest.raises(SettingsError, match=said):
            load_bundles(settings(one.path, **wrong))
    pinned = ",".join(bundle.fingerprint[:32] for bundle in (one, further))
    load_bundles(settings(one.path, more_bundles=f"{further.path}", bundle_fingerprint=pinned))
    with pytest.raises(Exception, match="alone is allowed"):
        load_bundles(settings(one.path, canary_bundle=same.path, bundle_fingerprint=pinned))
