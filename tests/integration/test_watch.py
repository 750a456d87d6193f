"""A real Prometheus scrapes a worker on a real Kafka, a desk and a front: what is exported, what fires."""

import json
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import confluent_kafka as ck
import pytest
from confluent_kafka.admin import AdminClient

import schemas
from engine.scores import Scores
from front.metrics import CATALOGUE as FRONT
from mimamori.soak.canned_engine import CannedEngine
from ops.generate import ROOT
from review.catalogue import CATALOGUE as DESK
from review.errors import NotAuditedError
from schemas.codec import encode
from schemas.events import Message, ReviewDecision
from schemas.metrics import Metric
from tests.deploy.prometheus import ROUND_S, Prometheus, running_prometheus
from tests.fakes.memory_desk import person, record
from tests.fakes.memory_review import MemoryReview
from tests.fakes.review_cases import a_case
from tests.fakes.served_desk import ServedDesk, served
from tests.fakes.served_front import ServedFront, served_front
from tests.fakes.worker_app import Running, build_app, settings, wait_for
from worker.assembly import join_group, open_producer
from worker.kafka.topics import apply_topics
from worker.startup import open_spans
from worker.telemetry.catalogue import CATALOGUE as WORKER
from worker.telemetry.metrics import Metrics

RULES = ROOT / "helm" / "files" / "rules.yaml"
TOKEN = "of a client in a chat"  # noqa: S105 - of this test
DASHBOARD = ROOT / "helm" / "files" / "dashboard.json"
SCRAPED = {"up", "scrape_duration_seconds", "scrape_samples_scraped", "scrape_series_added"}
SCRAPED |= {"scrape_samples_post_metric_relabeling", "ALERTS", "ALERTS_FOR_STATE"}
# What has nothing to show here: no traffic was kept in the bundle, so that nobody knows what to expect.
WITHOUT_DATA = {"Drift"}
FIRING_AT_FIRST = {
    "MimamoriStalled",
    "MimamoriRecordsDeletedUnread",
    "MimamoriCasesOverdue",
    "MimamoriDeadlinesAtRisk",
}
FIRING_AT_LAST = {
    "MimamoriLabelsLate",
    "MimamoriLabelsLateSlowly",
    "MimamoriRecordsUnscreened",
    "MimamoriRecordsUnscreenedSlowly",
    "MimamoriDeadLetterShare",
    "MimamoriUnknownTask",
    "MimamoriRecordsDeletedUnread",
    "MimamoriCasesOverdue",
    "MimamoriDeadlinesAtRisk",
    "MimamoriNotAudited",
    "MimamoriCasesUnreadable",
    "MimamoriEventsHeld",
    "MimamoriFrontUnanswered",
    "MimamoriFrontUnansweredSlowly",
    "MimamoriFrontRefusesTokens",
    "MimamoriSpansDropped",
}


class HangingEngine(CannedEngine):
    """A device that does not answer until it is `free`."""

    def __init__(self) -> None:
        super().__init__(levels=3)
        self.free = threading.Event()
        self.reads = threading.Event()

    def read(self, texts: Sequence[str]) -> list[Scores]:
        self.reads.set()
        assert self.free.wait(60)
        return super().read(texts)


class Front:
    """An HTTP front whose device hangs when it is told to."""

    def __init__(self, served: ServedFront, engine: HangingEngine) -> None:
        self._served = served
        self._engine = engine
        self.stop = served.service.stop

    def ask(self, token: str) -> None:
        """One request, whatever is answered."""
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {token}"}
        body = json.dumps({"input": "the tomatoes are coming up"}).encode()
        with suppress(HTTPError), urlopen(Request(f"{self._served.url}/v1/moderations", body, headers)):
            pass

    def trouble(self) -> None:
        """Requests without a token that counts, and a device that hangs until others are refused."""
        with ThreadPoolExecutor(13) as callers:
            list(callers.map(self.ask, ["of nobody, really"] * 12))
            self._engine.free.clear()
            self._engine.reads.clear()
            held = callers.submit(self.ask, TOKEN)
            assert self._engine.reads.wait(30)
            list(callers.map(self.ask, [TOKEN] * 12))
            self._engine.free.set()
            held.result()


@contextmanager
def fronted(health_port: int) -> Iterator[Front]:
    """A front with its probes on a port that is known."""
    engine = HangingEngine()
    engine.free.set()
    with served_front(engine, tokens=TOKEN, deadline_s=0.2, worker_health_port=health_port) as served:
        try:
            yield Front(served, engine)
        finally:
            engine.free.set()


class Watched:
    """A worker on topics of its own, a desk, and the Prometheus that scrapes both."""

    def __init__(self, bootstrap: str, folder: Path, desk: ServedDesk) -> None:
        self.prefix = f"{secrets.token_hex(4)}."
        self.config = {"bootstrap.servers": bootstrap}
        self.topic = schemas.topic_names(self.prefix)[Message]
        apply_topics(self.config, schemas.load_topics(self.prefix, replication_factor=1, partitions=1))
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.health_port = free.getsockname()[1]
        self.engine = HangingEngine()
        self.desk = desk
        self._settings = settings(
            folder,
            bootstrap=bootstrap,
            topic_prefix=self.prefix,
            group=self.prefix,
            health_port=self.health_port,
            traces_endpoint="http://127.0.0.1:9",  # where no collector listens
            traces_ratio=1.0,
        )

    def start(self) -> Running:
        metrics = Metrics()
        tracer = open_spans(self._settings, metrics)
        app = build_app(self._settings, engine=self.engine, metrics=metrics, tracer=tracer)
        return Running(app, lambda joins: join_group(self._settings, joins), open_producer(self._settings))

    def send(self, values: Sequence[bytes], sent_at: datetime | None = None) -> None:
        producer = ck.Producer(self.config)
        at = int((sent_at or datetime.now(UTC)).timestamp() * 1000)
        for value in values:
            producer.produce(self.topic, value, timestamp=at)
        assert producer.flush(30) == 0

    def delete_unread(self, count: int) -> None:
        """The group has read nothing, and the first records are gone."""
        place = ck.TopicPartition(self.topic, 0, 0)
        group = ck.Consumer(self.config | {"group.id": self.prefix})
        group.commit(offsets=[place], asynchronous=False)
        group.close()
        admin = AdminClient({"bootstrap.servers": self.config["bootstrap.servers"]})
        for future in admin.delete_records([ck.TopicPartition(self.topic, 0, count)]).values():
            future.result(30)


@pytest.fixture
def watched(kafka_bootstrap: str, tmp_path: Path) -> Iterator[Watched]:
    with served(MemoryReview()) as desk:
        yield Watched(kafka_bootstrap, tmp_path, desk)


def messages(count: int, **fields: str) -> list[bytes]:
    texts = [{"id": f"m{n}", "text": f"the tomatoes are coming up {n}", **fields} for n in range(count)]
    return [json.dumps(text).encode() for text in texts]


def active(prometheus: Prometheus) -> set[str]:
    """The alerts whose expressions hold now, whether or not for long enough to be told to anybody."""
    rules = prometheus.rules()
    assert [(rule["name"], rule.get("lastError")) for rule in rules if rule["health"] == "err"] == []
    return {rule["name"] for rule in rules if rule.get("state") in {"pending", "firing"}}


def until(prometheus: Prometheus, holds: Callable[[set[str]], bool], why: str) -> None:
    """Ask for the active alerts until `holds` of them, no oftener than they change."""
    deadline = time.monotonic() + 60
    while not holds(found := active(prometheus)):
        assert time.monotonic() < deadline, f"waited for {why}: {sorted(found)}"
        time.sleep(ROUND_S)


async def nobody_looks(review: MemoryReview) -> None:
    """A case is past its deadline, and nobody is at work."""
    long_ago = datetime.now(UTC) - timedelta(days=3)
    await review.open(a_case(1, opened_at=long_ago, sent_at=long_ago))


async def troubles(review: MemoryReview) -> None:
    """A decision that nobody took, a case that is none, an audit log that takes nothing."""
    forged = ReviewDecision(
        id="decision:forged",
        case_id="case:messages:0:99",
        message_id="m-99",
        task="stress",
        reviewer="nobody",
        finding="not_at_risk",
        severity=None,
        note=None,
        decided_at=datetime.now(UTC),
    )
    await review.agents.on_decision(record("review-decisions", forged.case_id, encode(forged)))
    await review.agents.on_case(record("review-cases", "case:messages:0:98", b"{"))
    review.down = True
    for _ in range(4):
        with suppress(NotAuditedError):
            await review.trail.record(person("ana"), "revealed")
    review.down = False


def test_what_is_exported_what_fires_and_what_the_dashboard_shows(watched: Watched, tmp_path: Path) -> None:
    watched.send(messages(7))
    watched.delete_unread(7)
    watched.send(messages(30))
    watched.desk.run(nobody_looks(watched.desk.review))
    with socket.create_server(("127.0.0.1", 0)) as free:
        front_health = free.getsockname()[1]
    targets = {"worker": watched.health_port, "desk": watched.desk.health_port, "front": front_health}
    worker = watched.start()
    with (
        fronted(front_health) as front,
        running_prometheus(tmp_path, RULES, targets) as prometheus,
    ):
        front.ask(TOKEN)
        until(prometheus, lambda found: found >= FIRING_AT_FIRST, "a hanging device to be seen")
        assert active(prometheus) == FIRING_AT_FIRST
        assert exported(prometheus, "worker") == listed(WORKER, openmetrics=True)
        assert exported(prometheus, "desk") == listed(DESK, openmetrics=False)
        assert exported(prometheus, "front") == listed(FRONT, openmetrics=True)
        assert exported(prometheus, "worker") - listed(WORKER[1:], openmetrics=True) == listed(
            WORKER[:1], openmetrics=True
        )

        watched.engine.free.set()
        until(prometheus, lambda found: "MimamoriStalled" not in found, "it to be over")

        watched.send(messages(1, text="the tomatoes are coming up " * 60))  # enough to measure a rate
        watched.send([b"{"] * 40)
        watched.send(messages(40, task="rental-scam"))
        watched.send(messages(40), datetime.now(UTC) - timedelta(minutes=10))
        watched.desk.run(troubles(watched.desk.review))
        front.trouble()
        until(prometheus, lambda found: found >= FIRING_AT_LAST, "all alerts")
        assert active(prometheus) == FIRING_AT_LAST
        wait_for(lambda: shown_nothing(prometheus) == WITHOUT_DATA, 60, "data in every panel")
        with pytest.raises(HTTPError):
            prometheus.query("sum of (mimamori_records_total)")
        assert outside(prometheus) == set()

        worker.stop()
        watched.desk.review.ready = False
        front.stop()
        gone = {"MimamoriNobodyScreens", "MimamoriDeskNotReady", "MimamoriFrontGone"}
        until(prometheus, lambda found: found >= gone, "nobody to be there")
    assert worker.error is None


def exported(prometheus: Prometheus, job: str) -> set[tuple[str, str, str]]:
    """Name, kind and meaning of each metric that a job exports, as Prometheus was told."""
    answer = prometheus.get("targets/metadata", match_target=f'{{job="{job}"}}')
    return {(each["metric"], each["type"], each["help"]) for each in answer}


def listed(catalogue: Sequence[Metric], *, openmetrics: bool) -> set[tuple[str, str, str]]:
    """The same from the catalogue; OpenMetrics names a family without what its kind adds to it."""
    added = {"counter": "_total", "info": "_info"}
    return {
        (
            metric.name.removesuffix(added.get(metric.kind, "")) if openmetrics else metric.name,
            metric.kind if openmetrics or metric.kind != "info" else "gauge",
            metric.meaning,
        )
        for metric in catalogue
    }


def outside(prometheus: Prometheus) -> set[str]:
    """Series, and labels of series, that no line of a catalogue lists and no rule records."""
    known = {series: metric for metric in (*WORKER, *FRONT, *DESK) for series in metric.series()}
    found: set[str] = set()
    for series in prometheus.get("series", **{"match[]": '{job=~"worker|desk|front"}'}):
        name = series["__name__"]
        if name in SCRAPED or name.startswith("mimamori:"):
            continue
        if name not in known:
            found.add(name)
            continue
        labels = {"__name__", "job", "instance", "le", *known[name].labels}
        found |= {f"{name} {label}" for label in series if label not in labels}
    return found


def shown_nothing(prometheus: Prometheus) -> set[str]:
    """The titles of panels that have a query without any sample. A query that is wrong raises HTTPError."""
    found: set[str] = set()
    panels: list[dict[str, Any]] = json.loads(DASHBOARD.read_text())["panels"]
    for panel in panels:
        for target in panel.get("targets", []):
            expr = target["expr"]
            for variable in ("$workers", "$fronts", "$desks"):
                expr = expr.replace(variable, ".*")
            expr = expr.replace("$__rate_interval", "1m")
            assert "$" not in expr
            if not prometheus.query(expr):
                found.add(panel["title"])
    return found
