"""`mimamori drift`, `miss-rate` and `canary` on a real Apache Kafka: what its committed events say.

The labels are plain JSON, framed JSON and framed Avro by turns, as after changes of MIMAMORI_LABEL_FORMAT.
"""

import json
import secrets
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

import msgspec
import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # public names that its types do not re-export
    AdminClient,
    NewTopic,
)
from typer.testing import CliRunner

from engine.bundle import DRIFT, Bundle, write_manifest
from engine.drift import expect
from engine.errors import TaskError
from mimamori.cli import app
from schemas import case_id
from schemas.events import Event, Label, Origin, ReviewCase, ReviewDecision, Severity, Thresholds
from tests.fakes.forms import every_form
from tests.fakes.tiny_bundle import write_tiny_bundle
from worker.errors import BrokerError
from worker.stream.routing import canary_draw
from worker.telemetry.drift import noted_of

THEN = datetime(2026, 11, 1, tzinfo=UTC)


@pytest.fixture
def topic(kafka_bootstrap: str) -> Iterator[Callable[[str], str]]:
    """Makes topics of two partitions; they go with the test."""
    admin = AdminClient({"bootstrap.servers": kafka_bootstrap})
    made: list[str] = []

    def make(kind: str) -> str:
        made.append(f"{kind}-{secrets.token_hex(4)}")
        # The records are years old, and Kafka looks every five minutes for what is to go.
        kept = NewTopic(made[-1], 2, 1, config={"retention.ms": "-1"})
        admin.create_topics([kept])[made[-1]].result()
        return made[-1]

    yield make
    for future in admin.delete_topics(made).values():
        future.result()


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    made = write_tiny_bundle(tmp_path / "bundle")
    expected = expect([noted_of(one, 20) for one in labels(made, 0, 1000, 0.1)])
    (made.path / DRIFT).write_bytes(msgspec.json.encode(expected))
    write_manifest(made.path, made.manifest)
    return Bundle.load(made.path)


def labels(bundle: Bundle, first: int, number: int, risk: float) -> list[Label]:
    return [
        Label(
            f"label:{first + at}", f"m-{first + at}", Origin("m", 0, first + at), "tiny", "clear",
            risk + 0.01 * (at % 10), None, ["below_lower_threshold"], Thresholds(0.9, 0.95, "test"), "pooled",
            bundle.fingerprint, 1, False, False, THEN, "fp32-1",
        )
        for at in range(number)
    ]  # fmt: skip


class Send(Protocol):
    """Writes events in one transaction."""

    def __call__(
        self, bootstrap: str, topic: str, found: Sequence[Event], *, at: int, commit: bool = True
    ) -> None: ...


@pytest.fixture
def send(monkeypatch: pytest.MonkeyPatch) -> Iterator[Send]:
    def write(bootstrap: str, topic: str, found: Sequence[Event], *, at: int, commit: bool = True) -> None:
        producer = Producer({"bootstrap.servers": bootstrap, "transactional.id": secrets.token_hex(4)})
        producer.init_transactions(10)
        producer.begin_transaction()
        for number, event in enumerate(found):
            producer.produce(topic, encode(event), partition=number % 2, timestamp=at + number)
        producer.flush(10)
        (producer.commit_transaction if commit else producer.abort_transaction)(10)

    with every_form(monkeypatch) as encode:
        yield write


def test_the_newest_labels_are_compared(
    kafka_bootstrap: str,
    topic: Callable[[str], str],
    bundle: Bundle,
    send: Send,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MIMAMORI_BOOTSTRAP", kafka_bootstrap)
    written = topic("labels")
    send(kafka_bootstrap, written, labels(bundle, 0, 700, 0.7), at=1_700_000_000_000)
    send(kafka_bootstrap, written, labels(bundle, 1000, 700, 0.1), at=1_700_001_000_000)
    send(kafka_bootstrap, written, labels(bundle, 2000, 50, 0.7), at=1_700_002_000_000, commit=False)

    def told(*options: str) -> dict[str, str]:
        result = CliRunner().invoke(app, ["drift", str(bundle.path), "--labels", written, "--json", *options])
        assert result.exit_code == 0, result.output
        report = json.loads(result.stdout)
        assert report["against"] == "traffic"
        return {each["signal"]: each["movement"] for each in report["signals"]}

    assert set(told("--last", "600").values()) == {"stable"}
    assert told("--last", "1400")["risk"] == "shifted"
    table = CliRunner().invoke(app, ["drift", str(bundle.path), "--labels", written])
    assert "risk has shifted" in table.stdout


def test_the_miss_rate_is_estimated_from_decisions(
    kafka_bootstrap: str,
    topic: Callable[[str], str],
    bundle: Bundle,
    send: Send,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of 400 cleared 40 are samples, 2 of them at risk; of 100 escalated 80: 20 missed of 100."""
    monkeypatch.setenv("MIMAMORI_BOOTSTRAP", kafka_bootstrap)
    topics = {kind: topic(kind) for kind in ("labels", "cases", "decisions")}
    written = [
        msgspec.structs.replace(
            one,
            verdict="at_risk" if at >= 400 else "clear",
            reasons=["quality_sample"] if at < 40 else [],
        )
        for at, one in enumerate(labels(bundle, 0, 500, 0.5))
    ]
    asked = [one for at, one in enumerate(written) if at < 40 or at >= 400]
    cases = [
        ReviewCase(
            case_id(one.origin), one.id, one.message_id, one.origin, "tiny",
            "escalation" if one.verdict == "at_risk" else "quality_sample", one.verdict, one.risk, None, 1.0,
            one.reasons, one.bundle, None, None, one.screened_at,
        )
        for one in asked
    ]  # fmt: skip
    decisions = [
        ReviewDecision(
            f"decision:{case.id}", case.id, case.message_id, "tiny", "somebody",
            "at_risk" if at < 2 or 40 <= at < 120 else "not_at_risk", None, None, case.opened_at,
        )
        for at, case in enumerate(cases)
    ]  # fmt: skip
    now = int(written[0].screened_at.timestamp() * 1000)
    send(kafka_bootstrap, topics["labels"], written, at=now)
    send(kafka_bootstrap, topics["cases"], cases, at=now)
    send(kafka_bootstrap, topics["decisions"], [*decisions, decisions[0]], at=now)
    options = [part for kind, name in topics.items() for part in (f"--{kind}", name)]
    ran = CliRunner().invoke(app, ["miss-rate", *options, "--json"])
    assert ran.exit_code == 0, ran.output
    report = json.loads(ran.stdout)
    assert report["miss_rate"]["value"] == pytest.approx(20 / 100)
    assert report["at_risk_among_clear"]["value"] == pytest.approx(2 / 40)
    assert report["left_out"] == {"decisions that came twice": 1}
    table = CliRunner().invoke(app, ["miss-rate", *options, "--max-miss-rate", "0.01"])
    assert "The bound of 1.0% does not hold" in table.stdout


def test_a_canary_may_go_on_or_must_stop_by_what_is_committed(
    kafka_bootstrap: str,
    topic: Callable[[str], str],
    bundle: Bundle,
    send: Send,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Half of 3,600 messages are the canary's, and both bundles find a quarter; then it finds none."""
    monkeypatch.setenv("MIMAMORI_BOOTSTRAP", kafka_bootstrap)
    topics = {kind: topic(kind) for kind in ("labels", "cases", "decisions", "dead-letters")}
    options = [part for kind, name in topics.items() for part in (f"--{kind}", name)]

    def told(*more: str) -> tuple[int, dict[str, Any]]:
        ran = CliRunner().invoke(app, ["canary", *options, "--json", *more])
        return ran.exit_code, json.loads(ran.stdout)

    def made(first: int, number: int, *, finds: bool) -> list[Label]:
        found = []
        for at, one in enumerate(labels(bundle, first, number, 0.5), first):
            new = canary_draw(one.message_id) < 0.5
            hit = at % 4 == 0 and (finds or not new)
            found.append(
                msgspec.structs.replace(
                    one,
                    bundle="c" * 64 if new else bundle.fingerprint,
                    verdict="at_risk" if hit else "clear",
                    severity=Severity("high", {"low": 0.1, "high": 0.9}) if hit else None,
                    screened_at=one.screened_at + timedelta(seconds=at),
                )
            )
        return found

    nobody = CliRunner().invoke(app, ["canary", *options])
    assert isinstance(nobody.exception, TaskError)  # a line, and exit code 1, by `main`
    now = 1_790_000_000_000
    send(kafka_bootstrap, topics["labels"], made(0, 1000, finds=True), at=now)
    code, report = told()
    assert (code, report["answer"]) == (3, "not yet")
    assert report["why"][0].endswith("of at least 1,500 messages of its own")
    send(kafka_bootstrap, topics["labels"], made(1000, 3200, finds=False), at=now + 1000, commit=False)
    send(kafka_bootstrap, topics["labels"], made(1000, 2600, finds=True), at=now + 1000)
    code, report = told()
    assert (code, report["answer"]) == (0, "go on"), report["why"]
    assert report["share"] == pytest.approx(0.5, abs=0.01)
    assert report["new"]["bundle"] == "c" * 64
    code, report = told("--last", "3400")  # the beginning is not read
    assert (code, report["answer"]) == (3, "not yet")
    decisions = [
        ReviewDecision(
            f"decision:{one.id}", case_id(one.origin), one.message_id, "tiny", "somebody",
            "not_at_risk" if one.bundle == "c" * 64 else "at_risk", None, None, one.screened_at,
        )
        for one in made(1000, 2600, finds=True)
        if one.verdict != "clear"
    ]  # fmt: skip
    theirs = [each for each in decisions if each.finding == "at_risk"]
    then = int(decisions[-1].decided_at.timestamp() * 1000)  # what is older than the stretch is not read
    send(kafka_bootstrap, topics["decisions"], theirs, at=then)
    code, report = told()  # nobody decided on the canary's
    assert (code, report["answer"]) == (3, "not yet"), report["why"]
    send(
        kafka_bootstrap,
        topics["decisions"],
        [each for each in decisions if each.finding != "at_risk"],
        at=then,
    )
    code, report = told()  # it sends as many, and they agree with none of it
    assert (code, report["answer"]) == (4, "stop"), report["why"]
    assert report["judged"]["new"]["escalated_at_risk"] == 0
    assert "is confirmed" in report["why"][0]
    send(kafka_bootstrap, topics["labels"], made(4000, 1600, finds=False), at=now + 9000)
    code, report = told()
    assert (code, report["answer"]) == (4, "stop")
    shown = CliRunner().invoke(app, ["canary", *options], env={"COLUMNS": "200"})
    assert shown.exit_code == 4
    assert "STOP\n  it sends less to people" in shown.stdout
    gone = CliRunner().invoke(app, ["canary", *options, "--labels", "no-such-topic"])
    assert isinstance(gone.exception, BrokerError)
    stranger = ReviewDecision("d", "c", "m", "tiny", "somebody", "at_risk", None, None, THEN)
    send(kafka_bootstrap, topics["labels"], [stranger], at=now + 10_000)
    mixed = CliRunner().invoke(app, ["canary", *options])
    assert isinstance(mixed.exception, TaskError)
    assert "1 are no label" in str(mixed.exception)


def test_a_canary_s_topic_that_holds_no_label_is_not_called_empty(
    kafka_bootstrap: str, topic: Callable[[str], str], send: Send, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MIMAMORI_BOOTSTRAP", kafka_bootstrap)
    others = topic("decisions")
    stranger = ReviewDecision("d", "c", "m", "tiny", "somebody", "at_risk", None, None, THEN)
    send(kafka_bootstrap, others, [stranger], at=1_790_000_000_000)
    told = CliRunner().invoke(app, ["canary", "--labels", others])
    assert isinstance(told.exception, TaskError)
    assert "1 are no label" in str(told.exception)
