"""The example that feeds ROOST Coop, on a real Kafka. The server checks the request; it is no Coop."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, Self

import msgspec
import pytest

from tests.integration.test_review_app import TEXT, Cluster, a_case, until

EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "feed_coop.py"
KEY, ITEM_TYPE = "a key of the test", "mimamori-case"


class Coop:
    """Checks each request against what Coop documents in its docs/api/items.md."""

    def __init__(self) -> None:
        self.items: list[dict[str, Any]] = []
        self.faults: list[str] = []
        self.answers: dict[str, list[int]] = {}
        coop = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                coop.faults += list(coop.check(self.path, self.headers["x-api-key"], body))
                coop.faults += [] if self.headers["content-type"] == "application/json" else ["content type"]
                [item] = body["items"]
                coop.items.append(item)
                self.send_response(coop.answers[item["id"]].pop(0) if coop.answers.get(item["id"]) else 202)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/"

    def check(self, path: str, key: str, body: dict[str, Any]) -> Iterator[str]:
        if path != "/api/v1/items/async/":
            yield f"the path {path}"
        if key != KEY:
            yield "the key"
        if set(body) != {"items"}:
            yield f"fields of the body: {sorted(body)}"
        for item in body["items"]:
            if set(item) != {"id", "typeId", "data"} or item["typeId"] != ITEM_TYPE or not item["id"]:
                yield f"an item: {sorted(item)}"
            if not all(isinstance(value, str | int | float) for value in item["data"].values()):
                yield f"types of data: {item['data']}"

    def __enter__(self) -> Self:
        Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def ids(self) -> list[str]:
        return [item["id"] for item in self.items]


@pytest.fixture
def coop() -> Iterator[Coop]:
    with Coop() as running:
        yield running


@pytest.fixture
def cluster(kafka_bootstrap: str) -> Iterator[Cluster]:
    made = Cluster(kafka_bootstrap)
    yield made
    made.close()


def start(cluster: Cluster, coop: Coop, log: Path) -> subprocess.Popen[bytes]:
    settings = {
        "KAFKA_BOOTSTRAP": cluster.bootstrap,
        "KAFKA_CONFIG": json.dumps(
            # The group soon notices that a member was killed.
            {"group.id": f"{cluster.prefix}f", "session.timeout.ms": 1500, "heartbeat.interval.ms": 500}
        ),
        "CASES_TOPIC": cluster.topics[0],
        "COOP_URL": coop.url,
        "COOP_API_KEY": KEY,
        "COOP_ITEM_TYPE": ITEM_TYPE,
    }
    with log.open("ab") as output:
        return subprocess.Popen([sys.executable, EXAMPLE], env=os.environ | settings, stderr=output)


def test_each_committed_case_is_submitted_and_none_is_passed_over(
    cluster: Cluster, coop: Coop, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    golden = msgspec.structs.replace(a_case(5), kind="golden")
    busy, refused, without_text, taken_back = a_case(1), a_case(2), a_case(3, text=None), a_case(4)
    cluster.send(busy)
    cluster.send_aborted(taken_back)
    coop.answers = {busy.id: [503, 429], refused.id: [400]}
    feed = start(cluster, coop, log)
    try:
        until(coop.ids, "the first try")
        feed.kill()
        feed.wait()
        feed = start(cluster, coop, log)
        until(lambda: f"submitted {busy.id}" in log.read_text(), "the case, at the third try")
        assert coop.ids() == [busy.id] * 3
        assert coop.items[0] == coop.items[2]
        assert coop.items[0]["data"] == {
            "messageId": busy.message_id,
            "task": "stress",
            "priority": 50.0,
            "text": TEXT,
            "openedAt": busy.opened_at.isoformat().replace("+00:00", "Z"),
        }

        cluster.send(refused)
        assert feed.wait(30) == 1
        assert f"Coop refuses {refused.id} with status 400" in log.read_text()

        cluster.send_raw(0, None)  # a text is to be forgotten
        cluster.send(golden)
        cluster.send(without_text)
        feed = start(cluster, coop, log)
        until(lambda: {refused.id, without_text.id} <= set(coop.ids()[4:]), "the refused case, and the next")
        until(lambda: f"submitted {without_text.id}" in log.read_text(), "its commit")
        feed.send_signal(signal.SIGTERM)
        assert feed.wait(30) == 0
    finally:
        feed.kill()
        feed.wait()
    assert coop.ids().count(busy.id) == 3  # what was accepted is not submitted again
    assert {taken_back.id, golden.id}.isdisjoint(coop.ids())
    assert all("text" not in item["data"] for item in coop.items if item["id"] == without_text.id)
    assert coop.faults == []
    assert "sister" not in log.read_text()  # nor any other part of the text
