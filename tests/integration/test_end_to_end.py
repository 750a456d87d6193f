"""The whole path on real servers with the real model: `mimamori run` as a process, watched from outside.

No gap and no double after a kill and a stop in the middle: `tests/chaos/test_soak.py`, on the same model.
"""

import json
import signal
import subprocess
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import confluent_kafka as ck
import openai
import pytest
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroSerializer
from confluent_kafka.schema_registry.json_schema import JSONSerializer
from confluent_kafka.serialization import MessageField, SerializationContext

from engine.task import SHIPPED, load_task
from export.examples import read_examples
from mimamori import process
from mimamori.sandbox import Sandbox
from schemas import load_topics
from schemas.avro import avro_schema
from schemas.events import Message
from schemas.kinds import KIND_OF
from tests.fakes.apicurio import registry_at_hand
from tests.fakes.collector import Collector, collecting
from tests.fakes.desk_client import DeskClient
from tests.integration.test_review_app import free_port
from worker.kafka.topics import apply_topics

Events = list[dict[str, object]]


class Platform:
    """A platform's side: its own topics, its own clients, a worker process it can start and kill."""

    def __init__(
        self, sandbox: Sandbox, bundle: Path, folder: Path, spans_to: str = "", **settings: object
    ) -> None:
        self.prefix = f"{uuid.uuid4().hex[:8]}."
        self._bootstrap = sandbox.bootstrap
        self._log = folder / "worker.log"
        apply_topics(
            {"bootstrap.servers": sandbox.bootstrap},
            load_topics(self.prefix, replication_factor=1, partitions=3),
        )
        self._producer = ck.Producer({"bootstrap.servers": sandbox.bootstrap, "message.max.bytes": 4 << 20})
        self._settings = {
            "bootstrap": sandbox.bootstrap,
            "topic_prefix": self.prefix,
            "group": self.prefix,
            "bundle": bundle,
            "redis_url": sandbox.redis_url,
            "cache_secret": uuid.uuid4().hex,
            "health_port": 0,
            "max_tokens": 256,
            "transactional_id": self.prefix,
            "traces_endpoint": spans_to,
            **settings,
        }
        self._spans_to = spans_to
        self.workers: list[subprocess.Popen[bytes]] = []

    def start_worker(self) -> subprocess.Popen[bytes]:
        worker = process.start(process.WORKER, self._settings, self._log)
        self.workers.append(worker)
        return worker

    def start_desk(self, folder: Path) -> str:
        """`mimamori review` as a process; returns its address once its table is there."""
        port, health_port = free_port(), free_port()
        settings = {
            "bootstrap": self._bootstrap,
            "topic_prefix": self.prefix,
            "port": port,
            "health_port": health_port,
            "folder": folder / "desk",
            "undo_seconds": 0,
            "traces_endpoint": self._spans_to,
        }
        desk = process.start(process.DESK, settings, folder / "desk.log")
        self.workers.insert(0, desk)
        process.await_ready(desk, health_port, folder / "desk.log", 90)
        return f"http://127.0.0.1:{port}"

    def start_front(self, folder: Path) -> tuple[subprocess.Popen[bytes], str]:
        """`mimamori serve` with the worker's settings; returns it and its address once it answers."""
        port, health_port = free_port(), free_port()
        settings = self._settings | {"front_port": port, "front_deadline_s": 120, "health_port": health_port}
        front = process.start(process.FRONT, settings, folder / "front.log")
        self.workers.insert(0, front)
        process.await_ready(front, health_port, folder / "front.log", 90)
        return front, f"http://127.0.0.1:{port}"

    def send(self, *values: bytes | None) -> None:
        """Each with a trace that is sampled: its number is the trace's id."""
        for number, value in enumerate(values):
            trace = f"00-{number + 1:032x}-{number + 1:016x}-01".encode()
            headers: list[tuple[str, str | bytes | None]] = [("traceparent", trace), ("tracestate", b"v=x")]
            self._producer.produce(self.prefix + "messages", value, str(number).encode(), headers=headers)
        assert self._producer.flush(20) == 0

    def read(self, name: str) -> Events:
        """Everything a read-committed reader sees on a topic now."""
        return [event for event, _ in self.read_with_traces(name)]

    def read_with_traces(self, name: str) -> list[tuple[dict[str, object], tuple[str, str]]]:
        """The same, each with its `traceparent` and its `tracestate`."""
        reader = ck.Consumer(
            {
                "bootstrap.servers": self._bootstrap,
                "group.id": "platform",
                "isolation.level": "read_committed",
                "enable.partition.eof": True,
            }
        )
        partitions = reader.list_topics(self.prefix + name, 10).topics[self.prefix + name].partitions
        reader.assign(
            [ck.TopicPartition(self.prefix + name, number, ck.OFFSET_BEGINNING) for number in partitions]
        )
        events = []
        open_ends = set(partitions)
        while open_ends:
            message = reader.poll(10)
            assert message is not None, f"{name} cannot be read to its end"
            error = message.error()
            if error is not None:
                assert error.code() == ck.KafkaError._PARTITION_EOF
                open_ends.discard(message.partition() or 0)
            else:
                named = dict(cast("list[tuple[str, bytes]]", message.headers()))
                trace = named["traceparent"].decode(), named["tracestate"].decode()
                events.append((json.loads(message.value() or b""), trace))
        reader.close()
        return events

    def outcomes(self) -> Counter[tuple[int, int]]:
        origins = [event["origin"] for name in ("labels", "dead-letters") for event in self.read(name)]
        return Counter((origin["partition"], origin["offset"]) for origin in origins)  # type: ignore[index] # JSON

    def wait(self, condition: Callable[[], bool], timeout_s: float = 90) -> None:
        deadline = time.monotonic() + timeout_s
        while not condition():
            assert time.monotonic() < deadline, f"waited too long; the worker's log:\n{self.log()}"
            assert self.workers[-1].poll() in (None, -signal.SIGKILL), self.log()
            time.sleep(0.1)

    def log(self) -> str:
        return self._log.read_text()

    def end(self) -> None:
        for worker in self.workers:
            if worker.poll() is None:
                worker.kill()
                worker.wait()


def message(number: int, text: str) -> bytes:
    return json.dumps({"id": f"m{number}", "text": text}, ensure_ascii=False).encode()


def held_out() -> list[tuple[str, bool]]:
    examples = read_examples(SHIPPED / "stress.heldout.jsonl", load_task("stress"))
    return [(example.text, example.at_risk) for example in examples]


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    with collecting() as collector:
        yield collector


@pytest.fixture(scope="module")
def registry() -> Iterator[str]:
    """A schema registry of ours; `make test-registry`: Apicurio."""
    with registry_at_hand() as url:
        yield url


@pytest.fixture(scope="module")
def screened(
    sandbox: Sandbox,
    stress_bundle: Path,
    tmp_path_factory: pytest.TempPathFactory,
    collector: Collector,
    registry: str,
) -> Iterator[Platform]:
    """A platform whose worker runs, and has an outcome for each held-out text (m0, m1, …) and bad record."""
    platform = Platform(
        sandbox,
        stress_bundle,
        tmp_path_factory.mktemp("screened"),
        collector.url,
        schema_registry_url=registry,
    )
    try:
        texts = held_out()
        bad = [None, b"\xff", b"{", b'{"id": "x"}', message(900, "  "), message(901, "a" * 1_000_000)]
        platform.start_worker()
        platform.send(*(message(number, text) for number, (text, _) in enumerate(texts)), *bad)
        platform.wait(lambda: len(platform.outcomes()) == len(texts) + len(bad))
        yield platform
    finally:
        platform.end()


def test_labels_make_sense_and_everything_bad_is_a_dead_letter(screened: Platform) -> None:
    platform, texts = screened, held_out()
    assert set(platform.outcomes().values()) == {1}
    reasons = Counter(event["reason"] for event in platform.read("dead-letters"))
    unread = ["invalid_utf8", "invalid_json", "schema_mismatch"]
    assert reasons == Counter([*unread, "null_value", "empty_text"])
    cases = platform.read("review-cases")
    assert Counter(case["unread_because"] for case in cases if case["kind"] == "unread") == Counter(unread)
    labels = {str(event["message_id"]): event for event in platform.read("labels")}
    flagged = {number: labels[f"m{number}"]["verdict"] != "clear" for number in range(len(texts))}
    at_risk = [flagged[number] for number, (_, truth) in enumerate(texts) if truth]
    clear = [flagged[number] for number, (_, truth) in enumerate(texts) if not truth]
    assert sum(at_risk) >= 0.8 * len(at_risk)
    assert sum(clear) <= 0.6 * len(clear)
    escalated = {
        event["label_id"] for event in platform.read("review-cases") if event["kind"] == "escalation"
    }
    assert escalated == {event["id"] for event in labels.values() if event["verdict"] != "clear"}
    assert not any(text in platform.log() for text, _ in texts)


def test_whoever_asks_by_http_gets_what_the_worker_wrote_to_kafka(screened: Platform, tmp_path: Path) -> None:
    texts = [text for text, _ in held_out()]
    labels = {str(event["message_id"]): cast("dict[str, Any]", event) for event in screened.read("labels")}
    front, url = screened.start_front(tmp_path)
    with openai.OpenAI(base_url=f"{url}/v1", api_key="none is needed on loopback") as client:
        results = client.moderations.create(input=texts).results
    same = ("bundle", "scored_by", "thresholds", "reading", "windows", "truncated", "task")
    for number, result in enumerate(results):
        label, found = labels[f"m{number}"], cast("dict[str, Any]", result.to_dict()["mimamori"])
        assert {name: found[name] for name in same} == {name: label[name] for name in same}
        # bf16 rounds coarsely, and otherwise in another batch.
        assert found["risk"] == pytest.approx(label["risk"], abs=0.03)
        if min(abs(label["risk"] - at) for at in (label["thresholds"][e] for e in ("lower", "upper"))) > 0.03:
            assert (found["verdict"], found["severity"]["level"]) == (
                label["verdict"],
                label["severity"]["level"],
            )
        assert result.flagged == (found["verdict"] != "clear")
    front.terminate()
    assert front.wait(30) == 0
    said = (tmp_path / "front.log").read_text()
    assert "front_stopped" in said
    assert not any(text in said for text in texts)


def test_a_text_seen_before_comes_from_the_cache_with_the_same_scores(screened: Platform) -> None:
    number, text = next((number, text) for number, (text, truth) in enumerate(held_out()) if truth)
    known = len(screened.outcomes())
    screened.send(message(1000, text))
    screened.wait(lambda: len(screened.outcomes()) == known + 1)
    labels = {event["message_id"]: event for event in screened.read("labels")}
    first, second = labels[f"m{number}"], labels["m1000"]
    assert (first["cached"], second["cached"]) == (False, True)
    assert first["risk"] == second["risk"]
    assert first["severity"] == second["severity"]
    cases = {event.get("label_id"): event for event in screened.read("review-cases")}
    one, other = cases[first["id"]], cases[second["id"]]
    assert one["highlights"] == other["highlights"] != []


def test_what_confluents_serializers_frame_is_labelled_like_plain_json(
    screened: Platform, registry: str
) -> None:
    known = len(screened.outcomes())
    texts = [text for text, _ in held_out()[:6]]
    topic = SerializationContext(f"{screened.prefix}messages", MessageField.VALUE)
    of_json = {"title": "Message", "type": "object", "properties": {"text": {"type": "string"}}}
    with SchemaRegistryClient({"url": registry}) as client:
        avro = AvroSerializer(client, json.dumps(avro_schema(KIND_OF[Message])))
        framed = JSONSerializer(
            json.dumps(of_json), client, conf={"subject.name.strategy": lambda *_: f"{screened.prefix}json"}
        )
        for number, text in enumerate(texts):
            for name, serializer in (("avro", avro), ("json", framed)):
                screened.send(serializer({"id": f"{name}{number}", "text": text}, topic))
    screened.wait(lambda: len(screened.outcomes()) == known + 2 * len(texts))
    labels = {str(event["message_id"]): event for event in screened.read("labels")}
    for number in range(len(texts)):
        plain = labels[f"m{number}"]
        for name in ("avro", "json"):
            label = labels[f"{name}{number}"]
            assert (label["risk"], label["verdict"]) == (plain["risk"], plain["verdict"])
    assert set(screened.outcomes().values()) == {1}
    assert not any(text in screened.log() for text in texts)


def test_a_message_goes_all_the_way_to_a_decision(
    screened: Platform, tmp_path: Path, collector: Collector
) -> None:
    platform = screened
    desk = platform.start_desk(tmp_path)
    kim = DeskClient(desk).sign_in("kim")
    platform.wait(lambda: 0 < len(platform.read("review-cases")) == kim.get_json("/api/v1/cases")[1]["total"])

    queue = kim.get_json("/api/v1/cases?limit=50")[1]
    cases = {str(event["id"]) for event in platform.read("review-cases")}
    assert {case["id"] for case in queue["cases"]} == cases
    first = next(case for case in queue["cases"] if case["kind"] == "escalation")
    path = f"/api/v1/cases/{first['id']}"
    _, claim = kim.post_json(f"{path}/claim", {})
    text = kim.post_json(f"{path}/reveal", {})[1]["text"]
    decision = {"finding": "at_risk", "severity": "high", "lease": claim["lease"]}
    kim.post_json(f"{path}/decision", decision)
    platform.wait(lambda: kim.get_json(path)[1]["model"] is not None)  # it is shown once the decision stands
    decided = kim.get_json(path)[1]
    assert all(text[each["start"] : each["end"]].strip() for each in decided["model"]["highlights"])
    assert "<mark" in kim.post_form(f"/case/{first['id']}/reveal", {})[2]
    platform.wait(lambda: len(platform.read("review-decisions")) == 1)
    (event,) = platform.read("review-decisions")
    assert (event["case_id"], event["message_id"]) == (first["id"], first["message_id"])
    assert (event["reviewer"], event["finding"], event["severity"]) == ("kim", "at_risk", "high")
    assert kim.get_json("/api/v1/cases")[1]["total"] == len(cases) - 1

    # One trace leads from the platform's own to the reviewer's decision.
    labelled_by, opened_by, decided_by = (
        next(trace for event, trace in platform.read_with_traces(topic) if event[its] == first[of])
        for topic, its, of in (
            ("labels", "message_id", "message_id"),
            ("review-cases", "id", "id"),
            ("review-decisions", "case_id", "id"),
        )
    )
    trace_id = decided_by[0][3:35]
    assert {named[0][3:35] for named in (labelled_by, opened_by)} == {trace_id}
    assert int(trace_id, 16) - 1 in range(len(held_out()))
    assert {named[1] for named in (labelled_by, opened_by, decided_by)} == {"v=x"}
    # … and where there is a span, what it caused names it.
    platform.wait(lambda: any(span.name.startswith("send") for span in collector.spans))
    spans = {span.span_id: span for span in collector.spans if span.trace_id == trace_id}
    told = spans[decided_by[0][36:52]]
    opened = spans[told.parent_id]
    assert (told.service, opened.service) == ("mimamori-review", "mimamori-review")
    assert opened.parent_id == opened_by[0][36:52] == labelled_by[0][36:52]
    screened_by = spans.get(opened.parent_id)  # where it was not over the limit of its second
    assert (screened_by.parent_id if screened_by else opened.parent_id) == f"{int(trace_id, 16):016x}"
    sent = b"".join(collector.bodies)
    assert not any(text.encode() in sent for text, _ in held_out())
