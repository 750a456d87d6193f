"""Two real (tiny) bundles on the same messages, by the command: counts, privacy, exit codes, bad input."""

import json
import os
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from typer.testing import CliRunner

from engine.bundle import Bundle, read_manifest, write_manifest
from engine.errors import DeviceError
from engine.load import load_engine
from mimamori.cli import app
from tests.fakes.tiny_bundle import write_tiny_bundle

TEXTS = [f"somebody {n} {'so ' * (n % 5)}" for n in range(300)]


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("bundles")
    write_tiny_bundle(folder / "old", seed=0)
    write_tiny_bundle(folder / "new", seed=1)
    return folder / "old", folder / "new"


@pytest.fixture(scope="module")
def risks(bundles: tuple[Path, Path]) -> list[list[float]]:
    """What both say, asked without any of the code under test."""
    return [
        [scores.risk for scores in load_engine(Bundle.load(folder), device="cpu").read(TEXTS)]
        for folder in bundles
    ]


@pytest.fixture
def thresholds(risks: list[list[float]], monkeypatch: pytest.MonkeyPatch) -> tuple[float, float]:
    """Thresholds under which both give all three verdicts."""
    lower, upper = (float(np.quantile(np.concatenate(risks), share)) for share in (0.4, 0.6))
    monkeypatch.setenv("MIMAMORI_LOWER", str(lower))
    monkeypatch.setenv("MIMAMORI_UPPER", str(upper))
    return lower, upper


def run(*arguments: object, code: int = 0) -> dict[str, Any]:
    done = CliRunner().invoke(app, ["compare", *map(str, arguments), "--device", "cpu", "--json"])
    assert done.exit_code == code, done.output
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def refused(*arguments: object) -> str:
    done = CliRunner().invoke(app, ["compare", *map(str, arguments), "--device", "cpu"])
    assert done.exit_code not in {0, 3}
    return str(done.exception)


def rows(path: Path, **more: Any) -> Path:
    lines = [{"text": text, **{name: of(n) for name, of in more.items()}} for n, text in enumerate(TEXTS)]
    path.write_bytes(b"\n".join(map(msgspec.json.encode, lines)))
    return path


def expected(risks: list[list[float]], thresholds: tuple[float, float]) -> list[list[int]]:
    table = np.zeros((3, 3), int)
    for old, new in zip(*risks, strict=True):
        table[
            int(np.searchsorted(thresholds, old, "right")), int(np.searchsorted(thresholds, new, "right"))
        ] += 1
    listed: list[list[int]] = table.tolist()
    return listed


@pytest.mark.parametrize("in_turn", [(), ("--one-at-a-time",)])
def test_the_table_is_what_each_bundle_says_by_itself(
    bundles: tuple[Path, Path],
    risks: list[list[float]],
    thresholds: tuple[float, float],
    tmp_path: Path,
    in_turn: tuple[str, ...],
) -> None:
    found = run(*bundles, "--messages", rows(tmp_path / "week.jsonl"), *in_turn)
    assert found["counts"]["table"] == expected(risks, thresholds)
    assert found["counts"]["to_people"] == [sum(r >= thresholds[0] for r in side) for side in risks]
    assert found["counts"]["misses"] is None
    assert [found[side]["bundle"] for side in ("old", "new")] == [Bundle.load(b).fingerprint for b in bundles]
    assert (found["speed"] is None) == bool(in_turn)
    assert found["left_out"] == {}


def test_misses_and_false_alarms_are_those_of_the_labels(
    bundles: tuple[Path, Path], risks: list[list[float]], thresholds: tuple[float, float], tmp_path: Path
) -> None:
    examples = rows(tmp_path / "unseen.jsonl", at_risk=lambda n: n % 3 == 0)
    found = run(*bundles, "--examples", examples)["counts"]
    missed = [(old < thresholds[0], new < thresholds[0]) for old, new in list(zip(*risks, strict=True))[::3]]
    assert found["misses"]["of"] == 100
    assert found["misses"]["only_new"] == sum(new and not old for old, new in missed)
    assert found["misses"]["only_old"] == sum(old and not new for old, new in missed)
    alarms = [
        (old >= thresholds[1], new >= thresholds[1])
        for n, (old, new) in enumerate(zip(*risks, strict=True))
        if n % 3
    ]
    assert found["false_alarms"]["only_new"] == sum(new and not old for old, new in alarms)
    assert found["false_alarms"]["only_old"] == sum(old and not new for old, new in alarms)


@pytest.mark.usefixtures("thresholds")
def test_device_and_precision_are_those_of_the_settings_unless_an_option_says_otherwise(
    bundles: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ["compare", *map(str, bundles), "--messages", str(rows(tmp_path / "week.jsonl")), "--json"]
    for setting, value in (("MIMAMORI_DEVICE", "cuda"), ("MIMAMORI_PRECISION", "int8")):
        monkeypatch.setenv("MIMAMORI_DEVICE", "cpu")
        monkeypatch.setenv(setting, value)
        assert isinstance(CliRunner().invoke(app, arguments).exception, DeviceError)
        monkeypatch.delenv(setting)
    monkeypatch.setenv("MIMAMORI_DEVICE", "cpu")
    done = CliRunner().invoke(app, arguments)
    assert json.loads(done.stdout)["old"]["runs"].startswith("cpu")
    threads = (os.cpu_count() or 1) + 1
    monkeypatch.setenv("MIMAMORI_THREADS", str(threads))
    for option, told in (((), True), (("--threads", "0"), False)):  # 0 says something, too: as many as cores
        runs = json.loads(CliRunner().invoke(app, [*arguments, *option]).stdout)["old"]["runs"]
        assert runs.endswith(f"{threads} threads") is told, runs
    monkeypatch.setenv("MIMAMORI_DEVICE", "cuda")
    assert run(*arguments[1:-1])["old"]["runs"].startswith("cpu")


@pytest.mark.usefixtures("thresholds")
def test_no_text_is_shown_unless_asked_for(bundles: tuple[Path, Path], tmp_path: Path) -> None:
    messages = rows(tmp_path / "week.jsonl")
    hidden = run(*bundles, "--messages", messages, "--changes", 1000)
    assert all(change["text"] is None for change in hidden["counts"]["changes"])
    assert "somebody" not in json.dumps(hidden)
    assert len(hidden["counts"]["changes"]) == hidden["counts"]["changed"] > 0
    shown = run(*bundles, "--messages", messages, "--show-text")
    change = shown["counts"]["changes"][0]
    assert change["text"] == TEXTS[int(change["where"].rpartition("-")[2]) - 1]


def test_ci_fails_where_new_is_worse_and_nowhere_else(
    bundles: tuple[Path, Path], risks: list[list[float]], thresholds: tuple[float, float], tmp_path: Path
) -> None:
    """At risk is what one does not clear: it misses nobody, and the other, of other weights, many."""
    examples = rows(tmp_path / "unseen.jsonl", at_risk=lambda n: bool(risks[1][n] >= thresholds[0]))
    worse = run(*bundles[::-1], "--examples", examples, "--fail-if-worse", code=3)
    assert worse["counts"]["misses"]["only_old"] == 0
    assert any("misses more often" in why for why in worse["worse"])
    same = run(bundles[1], bundles[1], "--examples", examples, "--fail-if-worse", "--margin", "0.05")
    assert same["worse"] == []
    assert same["counts"]["changed"] == 0
    few = tmp_path / "few.jsonl"
    few.write_bytes(b"\n".join(examples.read_bytes().splitlines()[:8]))
    unproven = run(bundles[1], bundles[1], "--examples", few, "--fail-if-worse", "--margin", "0.05", code=3)
    assert any("not shown" in why for why in unproven["worse"])


def test_bad_input_is_named_before_a_model_is_opened(bundles: tuple[Path, Path], tmp_path: Path) -> None:
    twice = tmp_path / "twice.jsonl"
    twice.write_text('{"text": "so tired", "at_risk": true}\n{"text": "so tired", "at_risk": false}\n')
    assert "examples 1 and 2 are one text with two labels" in refused(*bundles, "--examples", twice)
    empty = tmp_path / "empty.jsonl"
    empty.write_text("")
    assert str(empty) in refused(*bundles, "--examples", empty)
    assert "one of --examples, --messages and --from-topic" in refused(*bundles)
    messages = rows(tmp_path / "week.jsonl")
    assert "--from-topic too" in refused(*bundles, "--messages", messages, "--last", "5")
    assert "needs --examples" in refused(*bundles, "--messages", messages, "--fail-if-worse")
    assert "name no bundle" in refused(*bundles, "--shadow", "shadow-labels")
    assert "NAME:0,3" in refused(*bundles, "--from-topic", "messages:first")
    assert "give one of them" in refused(*bundles, "--from-topic", "m", "--last", "5", "--from-offset", "2")


def test_bundles_of_two_tasks_are_not_compared(bundles: tuple[Path, Path], tmp_path: Path) -> None:
    other = write_tiny_bundle(tmp_path / "other").path
    manifest, _ = read_manifest(other)
    task = msgspec.structs.replace(manifest.task, name="another")
    write_manifest(other, msgspec.structs.replace(manifest, task=task))
    assert "OLD screens for tiny and NEW for another" in refused(
        bundles[0], other, "--messages", rows(tmp_path / "week.jsonl")
    )


@pytest.mark.usefixtures("thresholds")
def test_what_is_no_message_and_what_repeats_is_left_out_and_counted(
    bundles: tuple[Path, Path], tmp_path: Path
) -> None:
    examples = tmp_path / "odd.jsonl"
    lines = [{"text": text, "at_risk": n % 2 == 0} for n, text in enumerate(TEXTS[:20])]
    lines += [lines[0], lines[1], {"text": "\u200b", "at_risk": True}]
    examples.write_bytes(b"\n".join(map(msgspec.json.encode, lines)))
    found = run(*bundles, "--examples", examples)
    assert found["counts"]["messages"] == 20
    assert found["left_out"] == {
        "repeats an earlier row": 2,
        "empty_text (no message that a worker would label)": 1,
    }


@pytest.mark.usefixtures("thresholds")
def test_a_message_of_another_task_is_said_to_be_one(bundles: tuple[Path, Path], tmp_path: Path) -> None:
    messages = tmp_path / "two-tasks.jsonl"
    lines = [{"id": f"m-{n}", "text": text} for n, text in enumerate(TEXTS[:20])]
    lines[3]["task"], lines[7]["task"] = "scams", "tiny"
    messages.write_bytes(b"\n".join(map(msgspec.json.encode, lines)))
    found = run(*bundles, "--messages", messages)
    assert found["counts"]["messages"] == 19
    assert found["left_out"] == {"of another task": 1}


@pytest.mark.usefixtures("thresholds")
def test_a_pinned_bundle_is_required_of_old_and_new_is_named(
    bundles: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    messages = rows(tmp_path / "week.jsonl")
    monkeypatch.setenv("MIMAMORI_BUNDLE_FINGERPRINT", Bundle.load(bundles[0]).fingerprint)
    done = CliRunner().invoke(
        app, ["compare", *map(str, bundles), "--messages", str(messages), "--device", "cpu"]
    )
    assert done.exit_code == 0
    assert Bundle.load(bundles[1]).fingerprint in done.stderr
    assert refused(bundles[1], bundles[0], "--messages", messages)
