import errno
import json
import os
import shutil
from pathlib import Path

import msgspec
import numpy as np
import onnx
import pytest
from typer.testing import CliRunner

from engine.bundle import (
    CALIBRATION,
    HEADS,
    MODEL,
    WEIGHTS,
    Bundle,
    Calibration,
    read_manifest,
    write_manifest,
)
from engine.device_names import STATES
from engine.errors import BundleError, TaskError
from engine.load import load_engine
from export.adapting import cut
from export.adapting.adapt import AdaptReport, adapt
from export.adapting.cut import cut_graph
from export.adapting.distilled import Distillation
from export.evaluating.evaluate import evaluate
from export.examples import LabelledExample
from mimamori.cli import app
from mimamori.soak.canned_engine import CannedEngine
from tests.fakes.tiny_bundle import LAYERS, TASK, write_tiny_bundle

LEVELS = TASK.level_names
EXAMPLES = [
    LabelledExample(text=word * n, at_risk=at_risk, severity=LEVELS[n % 3] if at_risk else None)
    for n in range(1, 11)
    for word, at_risk in (("zq", True), ("ab", False))
]
HELD_OUT = [
    LabelledExample(text="zqzqz", at_risk=True, severity="low"),
    LabelledExample(text="baba", at_risk=False),
]


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return write_tiny_bundle(tmp_path_factory.mktemp("tiny") / "full")


def _adapt(full: Bundle, out: Path, examples: list[LabelledExample] = EXAMPLES) -> AdaptReport:
    return adapt(full.path, examples, out, lambda *_: None, device="cpu")


def test_the_adapted_bundle_tells_the_examples_apart(full: Bundle, tmp_path: Path) -> None:
    report = _adapt(full, tmp_path / "out")
    bundle = Bundle.load(tmp_path / "out")
    assert bundle.fingerprint == report.fingerprint
    assert bundle.manifest.layer == report.layer
    assert report.auc > 0.9
    risky, clear = load_engine(bundle, device="cpu").read(["zqzqzq", "ababab"])
    assert risky.risk > 0.5 > clear.risk
    assert risky.severity is not None
    assert len(risky.severity) == len(LEVELS)


def test_the_same_examples_give_the_same_bundle(full: Bundle, tmp_path: Path) -> None:
    assert _adapt(full, tmp_path / "a").fingerprint == _adapt(full, tmp_path / "b").fingerprint


def test_two_tasks_that_are_cut_at_one_layer_have_one_graph(full: Bundle, tmp_path: Path) -> None:
    prompt = msgspec.structs.replace(full.manifest.prompt, prefix="Something else is asked.\n")
    other = write_tiny_bundle(tmp_path / "other", prompt=prompt, task=msgspec.structs.replace(TASK, name="b"))
    chosen = _adapt(full, tmp_path / "one").layer
    layer = 2 if chosen == 1 else 1
    for bundle, out in ((full, "a"), (other, "b")):
        report = adapt(bundle.path, EXAMPLES, tmp_path / out, lambda *_: None, device="cpu", layer=layer)
        assert report.layer == layer
        assert len(report.layer_losses) == LAYERS  # they tell what it costs
    one, two = (Bundle.load(tmp_path / out).manifest for out in ("a", "b"))
    assert one.layer == two.layer == layer
    assert all(one.files[name] == two.files[name] for name in (MODEL, WEIGHTS))
    assert one.model != two.model
    with pytest.raises(TaskError, match="--depth 9: the model has layers 1 to 4"):
        adapt(full.path, EXAMPLES, tmp_path / "c", lambda *_: None, device="cpu", layer=9)


def test_the_calibration_says_where_it_comes_from(full: Bundle, tmp_path: Path) -> None:
    report = _adapt(full, tmp_path / "out")
    calibration = msgspec.json.decode((tmp_path / "out" / CALIBRATION).read_bytes(), type=Calibration)
    assert (calibration.examples, calibration.positives) == (20, 10)
    assert (calibration.lower, calibration.upper) == (report.lower, report.upper)
    assert calibration.tolerated_miss_rate == TASK.policy.tolerated_miss_rate


def test_a_calibration_that_does_not_say_what_it_was_fitted_on_is_adapted_again(
    full: Bundle, tmp_path: Path
) -> None:
    """Bundles of before kept the windows, and not the precision."""
    _adapt(full, tmp_path / "out")
    path = tmp_path / "out" / CALIBRATION
    before = json.loads(path.read_bytes())
    before["windowing"] = before.pop("fitted_on")["windowing"]
    path.write_text(json.dumps(before))
    write_manifest(tmp_path / "out", Bundle.load(full.path).manifest)
    with pytest.raises(BundleError, match=r"calibration\.json.*run `mimamori adapt` again"):
        Bundle.load(tmp_path / "out")


@pytest.mark.parametrize(
    "change", [{"overlap": 12}, {"overlap": -1}, {"tokens": 40}, {"discount": -0.1}, {"sentence": True}]
)
def test_windows_that_cut_nothing_are_no_calibration(
    full: Bundle, tmp_path: Path, change: dict[str, object]
) -> None:
    _adapt(full, tmp_path / "out")
    path = tmp_path / "out" / CALIBRATION
    calibration = json.loads(path.read_bytes())
    calibration["fitted_on"]["windowing"] |= {"tokens": 12, "overlap": 6} | change
    path.write_text(json.dumps(calibration))
    write_manifest(tmp_path / "out", read_manifest(tmp_path / "out")[0])
    with pytest.raises(BundleError, match="run `mimamori adapt` again"):
        Bundle.load(tmp_path / "out")


def test_the_bundle_decides_how_long_messages_are_read(full: Bundle, tmp_path: Path) -> None:
    report = _adapt(full, tmp_path / "out")
    bundle = Bundle.load(tmp_path / "out")
    assert bundle.windowing == report.windowing
    (long,) = load_engine(bundle, device="cpu").read(["abab. " * 20])
    assert long.windows == -(-20 // (report.windowing.tokens // 6))


@pytest.mark.parametrize(
    "examples", [EXAMPLES[:8], EXAMPLES[::2], EXAMPLES[1::2], [*EXAMPLES[::2], EXAMPLES[1]]]
)
def test_too_few_or_one_sided_examples_are_refused(
    full: Bundle, tmp_path: Path, examples: list[LabelledExample]
) -> None:
    with pytest.raises(TaskError, match="10 labelled examples or more"):
        _adapt(full, tmp_path / "out", examples)
    assert not list(tmp_path.iterdir())


def test_an_adapted_bundle_is_not_adapted_again(full: Bundle, tmp_path: Path) -> None:
    _adapt(full, tmp_path / "out")
    with pytest.raises(BundleError, match="cut already"):
        adapt(tmp_path / "out", EXAMPLES, tmp_path / "again", lambda *_: None, device="cpu")
    with pytest.raises(BundleError, match="exists already"):
        _adapt(full, tmp_path / "out")


def test_a_place_without_room_is_refused_before_anything_is_read(full: Bundle, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    read: list[str] = []
    with pytest.raises(BundleError, match=r"cannot write .*file/out"):
        adapt(full.path, EXAMPLES, tmp_path / "file" / "out", lambda stage, *_: read.append(stage))
    assert not read


@pytest.mark.parametrize("traffic", [None, [f"{'zqab'[n % 4] * (1 + n % 9)} {n}" for n in range(260)]])
def test_a_disk_that_fills_up_leaves_nothing_of_the_bundle(
    full: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, traffic: list[str] | None
) -> None:
    def no_room(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(cut, "write_model", no_room)
    asked = None if traffic is None else Distillation(traffic)
    with pytest.raises(BundleError, match=r"cannot write .*out: No space left on device"):
        adapt(full.path, EXAMPLES, tmp_path / "out", lambda *_: None, device="cpu", distillation=asked)
    assert not list(tmp_path.iterdir())


def test_a_text_that_comes_again_is_learnt_from_once_and_told(full: Bundle, tmp_path: Path) -> None:
    """Were both kept, heads that had learnt from one would judge the other, and the figures would flatter."""
    again = msgspec.structs.replace(EXAMPLES[0], text=" ZQ")
    report = _adapt(full, tmp_path / "twice", [*EXAMPLES, again])
    assert report.examples == len(EXAMPLES)
    assert [finding.says[:31] for finding in report.findings] == ["example 21 repeats example 1, a"]
    _adapt(full, tmp_path / "once")
    twice, once = ((tmp_path / name / HEADS).read_bytes() for name in ("twice", "once"))
    assert twice == once


def test_people_s_decisions_are_examples_beside_a_file(full: Bundle, tmp_path: Path) -> None:
    """Half of the examples come from the review desk; the bundle is the same as of all in one file."""
    rows, cases, decisions = (tmp_path / f"{name}.jsonl" for name in ("rows", "cases", "decisions"))
    rows.write_bytes(b"\n".join(map(msgspec.json.encode, EXAMPLES[:10])))
    with cases.open("wb") as opened, decisions.open("wb") as taken:
        for number, example in enumerate(EXAMPLES[10:]):
            case = {
                "id": f"case:messages:0:{number}", "label_id": "l", "message_id": "m", "task": TASK.name,
                "origin": {"topic": "messages", "partition": 0, "offset": number}, "kind": "escalation",
                "verdict": "at_risk", "risk": 0.9, "severity": None, "priority": 1, "reasons": [],
                "bundle": "b", "conversation_id": None, "text": example.text,
                "opened_at": "2026-03-14T22:41:07Z",
            }  # fmt: skip
            decision = {
                "id": f"d-{number}", "case_id": case["id"], "message_id": "m", "task": TASK.name,
                "reviewer": "amara", "finding": "at_risk" if example.at_risk else "not_at_risk",
                "severity": example.severity, "note": None, "decided_at": "2026-03-14T22:55:31Z",
            }  # fmt: skip
            opened.write(msgspec.json.encode(case) + b"\n")
            taken.write(msgspec.json.encode(decision) + b"\n")
    command = ["adapt", str(full.path), "--out", str(tmp_path / "out"), "--device", "cpu", "--json"]
    ran = CliRunner().invoke(
        app, [*command, "--examples", str(rows), "--from-decisions", str(cases), str(decisions)]
    )
    assert ran.exit_code == 0, ran.output
    assert "10 examples from decisions, 5 at risk" in ran.stderr
    assert json.loads(ran.stdout)["fingerprint"] == _adapt(full, tmp_path / "whole").fingerprint


def test_examples_of_the_test_file_make_no_bundle(full: Bundle, tmp_path: Path) -> None:
    with pytest.raises(TaskError, match="example 3 is also example 2"):
        adapt(
            full.path,
            EXAMPLES,
            tmp_path / "out",
            lambda *_: None,
            device="cpu",
            test=[HELD_OUT[0], EXAMPLES[2]],
        )
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("layer", range(1, LAYERS + 1))
def test_a_cut_graph_keeps_only_what_its_layer_needs(full: Bundle, tmp_path: Path, layer: int) -> None:
    cut_graph(full.path, layer, tmp_path)
    graph = onnx.load(tmp_path / MODEL).graph
    assert {value.name for value in graph.input} == {
        "input_ids",
        "lengths",
        *(f"past_{kind}.{i}" for i in range(layer) for kind in ("key", "value")),
    }
    assert {value.name for value in graph.output} == {
        "pooled",
        STATES,
        *(f"present_{kind}.{i}" for i in range(layer) for kind in ("key", "value")),
    }
    weights = {weight.name for weight in graph.initializer}
    assert "labels" not in weights
    assert f"wq{layer - 1}" in weights
    assert f"wq{layer}" not in weights
    assert (tmp_path / WEIGHTS).exists()


def test_a_bundle_whose_files_are_links_can_be_cut(full: Bundle, tmp_path: Path) -> None:
    copied, linked, out = tmp_path / "copied", tmp_path / "linked", tmp_path / "out"
    out.mkdir()
    shutil.copytree(full.path, copied)  # a link changes what the system says of the file it was made from
    shutil.copytree(copied, linked, copy_function=os.link)
    cut_graph(linked, 1, out)
    onnx.checker.check_model(out / MODEL)


@pytest.mark.parametrize("layer", [0, LAYERS + 1])
def test_a_layer_that_is_not_there_cannot_be_cut_at(full: Bundle, tmp_path: Path, layer: int) -> None:
    with pytest.raises(BundleError, match="layers 1 to 4"):
        cut_graph(full.path, layer, tmp_path)


def test_a_cut_graph_cannot_be_cut(full: Bundle, tmp_path: Path) -> None:
    cut_graph(full.path, 2, tmp_path)
    again = tmp_path / "again"
    again.mkdir()
    with pytest.raises(BundleError, match="only a full export"):
        cut_graph(tmp_path, 1, again)


def test_evaluation_counts_what_the_policy_would_do(full: Bundle) -> None:
    engine = CannedEngine(levels=3)
    texts = [f"message {n}" for n in range(300)]
    examples = [LabelledExample(text=text, at_risk=n % 3 == 0) for n, text in enumerate(texts)]
    report = evaluate(engine, full, examples, lower=0.3, upper=0.7)
    risks = np.array([scores.risk for scores in engine.read(texts)])
    at_risk = np.arange(300) % 3 == 0
    assert report.confusion[1][0] == int((risks[at_risk] < 0.3).sum())
    assert report.confusion[0][2] == int((risks[~at_risk] >= 0.7).sum())
    assert sum(map(sum, report.confusion)) == 300
    assert report.miss_rate == pytest.approx(report.confusion[1][0] / 100)
    assert report.severity is None


def test_evaluation_of_severity(full: Bundle) -> None:
    report = evaluate(load_engine(full, device="cpu"), full, EXAMPLES)
    assert report.severity is not None
    assert report.severity.examples == 10
    assert sum(map(sum, report.severity.confusion)) == 10


def test_evaluation_on_the_examples_of_adapt_says_so(full: Bundle, tmp_path: Path) -> None:
    _adapt(full, tmp_path / "out")
    bundle = Bundle.load(tmp_path / "out")
    engine = load_engine(bundle, device="cpu")
    assert evaluate(engine, bundle, EXAMPLES[::-1]).seen_at_adapt
    assert not evaluate(engine, bundle, HELD_OUT).seen_at_adapt


def test_evaluation_of_one_class_only_has_no_auc(full: Bundle) -> None:
    report = evaluate(CannedEngine(), full, HELD_OUT[:1])
    assert report.auc is None
    assert report.alarm_rate is None


def test_evaluation_of_nothing_is_refused(full: Bundle) -> None:
    with pytest.raises(TaskError, match="no labelled examples"):
        evaluate(CannedEngine(), full, [])


def test_the_commands_adapt_and_evaluate(full: Bundle, tmp_path: Path) -> None:
    examples = tmp_path / "examples.jsonl"
    examples.write_bytes(b"\n".join(map(msgspec.json.encode, EXAMPLES)))
    out = tmp_path / "out"
    device = ["--device", "cpu", "--examples", str(examples)]
    adapted = CliRunner().invoke(app, ["adapt", str(full.path), "--out", str(out), *device])
    assert adapted.exit_code == 0, adapted.output
    assert "clear below" in adapted.output
    shown = CliRunner().invoke(app, ["evaluate", str(out), *device])
    assert "adapted on these very examples" in shown.output
    printed = CliRunner().invoke(app, ["evaluate", str(out), "--json", *device])
    assert json.loads(printed.stdout)["examples"] == 20


def test_the_command_says_what_it_found_in_the_examples(full: Bundle, tmp_path: Path) -> None:
    examples = tmp_path / "examples.jsonl"
    examples.write_bytes(b"\n".join(map(msgspec.json.encode, [*EXAMPLES, EXAMPLES[3]])))
    asked = ["adapt", str(full.path), "--device", "cpu", "--examples", str(examples), "--json", "--out"]
    adapted = CliRunner().invoke(app, [*asked, str(tmp_path / "out")])
    assert adapted.exit_code == 0, adapted.output
    (finding,) = json.loads(adapted.stdout)["findings"]
    assert finding["kind"] == "duplicate"
    assert finding["rows"] == [f"{examples}, row 4", f"{examples}, row 21"]
    assert f"note: {finding['says']}" in adapted.stderr
    refused = CliRunner().invoke(app, [*asked, str(tmp_path / "not"), "--test", str(examples)])
    assert isinstance(refused.exception, TaskError)
    assert not (tmp_path / "not").exists()
