"""What a user sees when something is wrong: one clear line on standard error, and a non-zero exit."""

import os
import subprocess
import sys
import uuid
from pathlib import Path

import msgspec
import pytest
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # public names that its types do not re-export
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ResourceType,
)

from engine.bundle import CALIBRATION, read_manifest, write_manifest
from export.adapting.adapt import adapt
from export.examples import LabelledExample
from schemas import load_topics
from tests.fakes.tiny_bundle import write_tiny_bundle
from worker.kafka.group_settings import HEARTBEAT
from worker.kafka.topics import apply_topics


def mimamori(*arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """Run the command as a user would, with these MIMAMORI_ settings."""
    environment = os.environ | {f"MIMAMORI_{name}": value for name, value in settings.items()}
    return subprocess.run(
        [sys.executable, "-m", "mimamori", *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def assert_refused(result: subprocess.CompletedProcess[str], *words: str) -> None:
    assert result.returncode != 0
    errors = [line for line in result.stderr.splitlines() if line.startswith("error:")]
    assert len(errors) == 1, result.stderr
    assert "Traceback" not in result.stderr + result.stdout
    for word in words:
        assert word in errors[0]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_bundle(tmp_path_factory.mktemp("tiny") / "bundle").path


@pytest.fixture(scope="module")
def topic_prefix(kafka_bootstrap: str) -> str:
    prefix = f"{uuid.uuid4().hex[:8]}."
    apply_topics(
        {"bootstrap.servers": kafka_bootstrap}, load_topics(prefix, replication_factor=1, partitions=1)
    )
    return prefix


def test_an_unknown_setting_is_named() -> None:
    assert_refused(mimamori("run", MAX_TOKEN="5"), "MIMAMORI_MAX_TOKEN", "not a setting")


def test_wrong_settings_are_named_all_at_once() -> None:
    result = mimamori("run", DEVICE="tpu", MAX_TOKENS="-1")
    assert_refused(result, "MIMAMORI_DEVICE", "MIMAMORI_MAX_TOKENS")


def test_a_wrong_secret_is_not_repeated() -> None:
    result = mimamori("run", REDIS_URL="rediss://:hunter2@h", CACHE_SECRET="hunter3")
    assert_refused(result, "MIMAMORI_CACHE_SECRET")
    assert "hunter" not in result.stderr


@pytest.mark.parametrize("command", [("run",), ("doctor",), ("topics", "list"), ("topics", "apply")])
def test_credentials_without_tls_are_refused_by_every_command(command: tuple[str, ...]) -> None:
    kafka = '{"sasl.username": "ana", "sasl.password": "hunter2"}'
    result = mimamori(*command, KAFKA=kafka)
    assert_refused(result, "sasl.password", "security.protocol", "SASL_SSL")
    assert "hunter2" not in result.stderr


@pytest.mark.parametrize("command", [("run",), ("doctor",), ("topics", "apply")])
def test_texts_in_plain_text_to_another_machine_are_refused_by_every_command(
    command: tuple[str, ...],
) -> None:
    assert_refused(
        mimamori(*command, BOOTSTRAP="kafka.example:9092"), "can read what people write", "SASL_SSL"
    )


def test_a_missing_bundle_says_how_to_build_one(tmp_path: Path) -> None:
    assert_refused(mimamori("run", BUNDLE=str(tmp_path)), "bundle.json", "mimamori bundle build")


def test_an_altered_bundle_is_refused(tmp_path: Path) -> None:
    bundle = write_tiny_bundle(tmp_path / "bundle").path
    with (bundle / "model.onnx.data").open("r+b") as weights:
        weights.write(b"\x01")
    assert_refused(mimamori("run", BUNDLE=str(bundle)), "model.onnx.data")
    assert_refused(mimamori("bundle", "verify", str(bundle)), "model.onnx.data")


def test_a_broker_that_cannot_be_reached(bundle: Path) -> None:
    assert_refused(mimamori("run", BUNDLE=str(bundle), BOOTSTRAP="127.0.0.1:1"), "MIMAMORI_BOOTSTRAP")


def test_missing_topics_are_named_with_the_command_that_creates_them(
    bundle: Path, kafka_bootstrap: str
) -> None:
    result = mimamori("run", BUNDLE=str(bundle), BOOTSTRAP=kafka_bootstrap, TOPIC_PREFIX="nobody-made.")
    assert_refused(result, "nobody-made.messages", "mimamori topics apply")


@pytest.mark.parametrize(("device", "precision"), [("cuda", "auto"), ("cpu", "bf16"), ("cpu", "fp16")])
def test_a_device_that_is_not_there(
    device: str, precision: str, bundle: Path, kafka_bootstrap: str, topic_prefix: str
) -> None:
    result = mimamori(
        "run",
        BUNDLE=str(bundle),
        BOOTSTRAP=kafka_bootstrap,
        TOPIC_PREFIX=topic_prefix,
        DEVICE=device,
        PRECISION=precision,
    )
    assert_refused(result)


def test_thresholds_of_other_scores_govern_no_messages(
    bundle: Path, tmp_path: Path, kafka_bootstrap: str, topic_prefix: str
) -> None:
    """A bundle that was adapted where the CPU computes in bf16, brought to one that does not."""
    labelled = [LabelledExample(w * n, at_risk=w == "zq") for n in range(1, 7) for w in ("zq", "ab")]
    examples, out = tmp_path / "examples.jsonl", tmp_path / "adapted"
    examples.write_bytes(b"\n".join(map(msgspec.json.encode, labelled)))
    adapt(bundle, labelled, out, lambda *_: None, device="cpu")
    calibration = (out / CALIBRATION).read_text()
    (out / CALIBRATION).write_text(calibration.replace('"precision": "fp32"', '"precision": "bf16"'))
    write_manifest(out, read_manifest(out)[0])
    run = mimamori("run", BUNDLE=str(out), DEVICE="cpu", BOOTSTRAP=kafka_bootstrap, TOPIC_PREFIX=topic_prefix)
    evaluated = mimamori("evaluate", str(out), "--examples", str(examples), "--device", "cpu")
    for result in (run, evaluated):
        assert_refused(result, "in bf16, and fp32 runs here", "`mimamori adapt` again with --precision fp32")


def test_a_port_that_is_taken(bundle: Path, kafka_bootstrap: str, topic_prefix: str) -> None:
    port = kafka_bootstrap.rpartition(":")[2]
    result = mimamori(
        "run",
        BUNDLE=str(bundle),
        BOOTSTRAP=kafka_bootstrap,
        TOPIC_PREFIX=topic_prefix,
        DEVICE="cpu",
        HEALTH_PORT=port,
    )
    assert_refused(result, "MIMAMORI_HEALTH_PORT")


def test_a_file_that_cannot_be_replayed(tmp_path: Path, kafka_bootstrap: str) -> None:
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"text": "a good first row"}\n{"words": "no text, and not to be quoted"}\n')
    result = mimamori("replay", str(rows), BOOTSTRAP=kafka_bootstrap)
    assert_refused(result, "row 2")
    assert "quoted" not in result.stderr


def test_doctor_says_everything_that_is_wrong_and_what_to_do(bundle: Path) -> None:
    result = mimamori("doctor", BUNDLE=str(bundle), DEVICE="cuda", BOOTSTRAP="127.0.0.1:1")
    assert result.returncode == 1
    states = {line.split()[1]: line.split()[0] for line in result.stdout.splitlines()}
    assert states["bundle"] == "well"
    assert states["device"] == states["broker"] == "wrong"
    assert states["policy"] == "skipped"  # thresholds hold only for what a device scores
    assert "Kafka: plain text, no credentials" in result.stdout


def test_doctor_says_how_long_partitions_wait_that_move(bundle: Path, kafka_bootstrap: str) -> None:
    """With the protocol `consumer`: the sandbox's heartbeats are short, and a group may have its own."""
    group = "of-the-doctor"
    given = {"BUNDLE": str(bundle), "DEVICE": "cpu", "BOOTSTRAP": kafka_bootstrap, "GROUP": group}

    def told(**more: str) -> str:
        return " ".join(mimamori("doctor", **given, **more).stdout.split())  # lines are wrapped

    said = told(GROUP_PROTOCOL="consumer")
    assert "its members are heard every 500 ms" in said
    assert "group.consumer.min.heartbeat.interval.ms" not in said
    slow = ConfigEntry(HEARTBEAT, "5000", incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ResourceType.GROUP, group, incremental_configs=[slow])
    admin = AdminClient({"bootstrap.servers": kafka_bootstrap})
    admin.incremental_alter_configs([resource])[resource].result()
    said = told(GROUP_PROTOCOL="consumer")
    assert "every 5000 ms" in said
    assert "set its consumer.heartbeat.interval.ms to 500" in said
    assert "are heard" not in told()


@pytest.mark.parametrize(
    "command",
    [
        "run",
        "demo",
        "replay",
        "doctor",
        "topics apply",
        "topics list",
        "sandbox",
        "export",
        "adapt",
        "evaluate",
    ],
)
def test_help_of_every_command_teaches(command: str) -> None:
    result = mimamori(*command.split(), "--help")
    assert result.returncode == 0
    assert len(result.stdout.split()) > 20
