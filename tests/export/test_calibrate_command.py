"""`mimamori calibrate` as a person types it: what it prints and draws, and where it finds the share."""

import json
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import numpy as np
import pytest
from typer.testing import CliRunner, Result

from engine.bundle import Bundle
from engine.errors import MimamoriError, SettingsError, TaskError
from engine.load import load_engine
from export.calibrating.cleared import read_all
from export.examples import LabelledExample
from mimamori.cli import app
from schemas.events import Origin, ReviewCase, ReviewDecision
from schemas.vocabulary import CaseKind, Finding
from tests.fakes.tiny_bundle import TASK, write_tiny_bundle

WORDS = "a secret of somebody"
GOAL = ("--max-miss-rate", "0.2", "--max-alarm-rate", "0.2", "--confidence", "0.8", "--device", "cpu")


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """Of the prompted reading, with random weights; the examples beside it are labelled by its own risks."""
    bundle = write_tiny_bundle(tmp_path_factory.mktemp("command") / "bundle")
    texts = [f"{WORDS} {number * 7919}" for number in range(80)]
    scores = read_all(load_engine(bundle, device="cpu"), texts, lambda *_: None)
    risks = np.array([each.risk for each in scores])
    ill = (risks > np.median(risks)) != (np.arange(80) % 8 == 0)
    examples = [LabelledExample(text, at_risk=bool(said)) for text, said in zip(texts, ill, strict=True)]
    (bundle.path.parent / "apart.jsonl").write_bytes(b"\n".join(map(msgspec.json.encode, examples)))
    return bundle


def _calibrate(bundle: Bundle, *options: str) -> Result:
    examples = str(bundle.path.parent / "apart.jsonl")
    command = ["calibrate", str(bundle.path), "--examples", examples, *GOAL, *options]
    return CliRunner().invoke(app, command, env={"COLUMNS": "200"})


def test_it_prints_both_statements_the_workload_and_no_text(bundle: Bundle, tmp_path: Path) -> None:
    shown = _calibrate(
        bundle, "--out", str(tmp_path / "out"), "--prevalence", "0.05", "--messages-per-day", "100000"
    )
    assert shown.exit_code == 0, shown.output
    said = " ".join(shown.output.replace("│", " ").split())
    for words in ("with 0.8 confidence", "in expectation", "of 100,000", "5.00% of the messages are at risk"):
        assert words in said
    written = b"".join(path.read_bytes() for path in (tmp_path / "out").iterdir())
    assert WORDS not in shown.output
    assert WORDS.encode() not in written


def test_without_an_out_the_copy_lies_beside_the_bundle_and_json_has_everything(bundle: Bundle) -> None:
    printed = _calibrate(bundle, "--json")
    assert printed.exit_code == 0, printed.output
    told = json.loads(printed.stdout)
    assert told["bundle"] == f"{bundle.path}-calibrated"
    copy = Bundle.load(Path(told["bundle"]))
    assert copy.fingerprint == told["fingerprint"]
    assert told["statement"]["share"]["source"] == "examples"
    assert told["statement"]["with_confidence"]["lower"] == told["lower"]
    assert told["workloads"][0]["prevalence"] == 48 / 80
    again = _calibrate(bundle)
    assert isinstance(again.exception, MimamoriError)
    assert "exists already" in str(again.exception)


@pytest.mark.parametrize("name", ["calibration.svg", "calibration.png"])
def test_the_picture_shows_the_bins_and_both_thresholds(bundle: Bundle, tmp_path: Path, name: str) -> None:
    pytest.importorskip("matplotlib")
    ran = _calibrate(bundle, "--out", str(tmp_path / "out"), "--plot", str(tmp_path / name), "--json")
    assert ran.exit_code == 0, ran.output
    drawn = (tmp_path / name).read_bytes()
    assert drawn.startswith({"svg": b"<?xml", "png": b"\x89PNG"}[name[-3:]])
    if name.endswith("svg"):
        told = json.loads(ran.stdout)
        for label in (
            *(str(each["examples"]) for each in told["reliability"]),
            f"lower, 0.8 confidence: {told['lower']:.3g}",
            "reviewed, of all messages",
        ):
            assert f"<!-- {label} -->".encode() in drawn


def test_a_picture_that_cannot_be_written_takes_no_report_with_it(bundle: Bundle, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    (tmp_path / "taken.svg").mkdir()
    ran = _calibrate(bundle, "--out", str(tmp_path / "out"), "--plot", str(tmp_path / "taken.svg"), "--json")
    assert isinstance(ran.exception, SettingsError)
    assert json.loads(ran.stdout)["fingerprint"] == Bundle.load(tmp_path / "out").fingerprint


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        (["--prevalence", "0.1", "--traffic", "x.jsonl"], SettingsError, "give one of --prevalence"),
        (["--traffic", "x.jsonl"], TaskError, "--traffic x.jsonl: no such file"),
        (["--quality-samples", "x.jsonl", "y.jsonl"], TaskError, "--quality-samples x.jsonl: no such file"),
        (["--prevalence", "1"], SettingsError, "--prevalence 1: give a share above 0 and below 1"),
        (["--max-miss-rate", "0.01"], TaskError, "takes 161 examples at risk, there are 48"),
        (["--plot", "x.gif"], MimamoriError, r"x\.gif"),
    ],
)
def test_what_is_wrong_is_said_in_one_line_and_nothing_is_written(
    bundle: Bundle, tmp_path: Path, options: list[str], error: type[Exception], said: str
) -> None:
    pytest.importorskip("matplotlib")
    with pytest.raises(error, match=said):
        raise _calibrate(bundle, "--out", str(tmp_path / "out"), *options).exception or AssertionError
    assert not list(tmp_path.iterdir())


def _events(
    folder: Path, kinds: list[tuple[CaseKind, Finding]], texts: list[str] | None = None
) -> tuple[str, str]:
    """Files of cases and decisions."""
    now = datetime(2026, 3, 14, tzinfo=UTC)
    cases, decisions = folder / "cases.jsonl", folder / "decisions.jsonl"
    for number, (kind, finding) in enumerate(kinds):
        case = ReviewCase(
            id=f"case:{number}",
            label_id=f"label:{number}",
            message_id=f"m-{number}",
            origin=Origin("messages", 0, number),
            task=TASK.name,
            kind=kind,
            verdict="clear" if kind == "quality_sample" else "uncertain",
            risk=0.5,
            severity=None,
            priority=1.0,
            reasons=[],
            bundle="b",
            conversation_id=None,
            text=texts[number] if texts else WORDS,
            opened_at=now,
        )
        decision = ReviewDecision(
            f"decision:{number}", case.id, case.message_id, TASK.name, "r", finding, None, None, now
        )
        for path, event in ((cases, case), (decisions, decision)):
            with path.open("ab") as file:
                file.write(msgspec.json.encode(event) + b"\n")
    return str(cases), str(decisions)


def test_the_share_is_taken_from_peoples_decisions(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """40 escalations, half at risk, and 20 samples of a tenth of the clear messages, one at risk."""
    monkeypatch.setenv("MIMAMORI_QUALITY_SAMPLE_SHARE", "0.1")
    kinds: list[tuple[CaseKind, Finding]] = [("escalation", "at_risk"), ("escalation", "not_at_risk")] * 20
    kinds += [("quality_sample", "at_risk"), *[("quality_sample", "not_at_risk")] * 19]  # type: ignore[list-item] # literals
    files = _events(tmp_path, kinds)
    ran = _calibrate(bundle, "--out", str(tmp_path / "out"), "--json", "--quality-samples", *files)
    assert ran.exit_code == 0, ran.output
    told = json.loads(ran.stdout)
    assert told["statement"]["share"]["source"] == "quality samples"
    assert told["workloads"][0]["prevalence"] == pytest.approx((20 + 10) / (40 + 200))
    assert told["sampled"] == 0.1
    assert "no case, and so no text" not in ran.stderr
    lines = (tmp_path / "cases.jsonl").read_bytes().splitlines(keepends=True)
    (tmp_path / "cases.jsonl").write_bytes(b"".join(lines[2:]))
    later = _calibrate(bundle, "--out", str(tmp_path / "later"), "--json", "--quality-samples", *files)
    assert "2 decisions have no case, and so no text any more" in later.stderr
    refused = _calibrate(bundle, "--out", str(tmp_path / "other"), "--quality-samples", *reversed(files))
    assert "line 1: is no review case" in str(refused.exception)
    assert WORDS not in str(refused.exception)


def test_the_rate_is_stated_on_a_fair_sample_of_what_people_decided(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """60 escalations, of which half are needed, and 20 samples of half of the cleared messages."""
    monkeypatch.setenv("MIMAMORI_QUALITY_SAMPLE_SHARE", "0.5")
    examples = [
        msgspec.json.decode(line, type=LabelledExample)
        for line in (bundle.path.parent / "apart.jsonl").read_bytes().splitlines()
    ]
    kinds: list[tuple[CaseKind, Finding]] = [
        ("escalation" if number % 4 else "quality_sample", "at_risk" if each.at_risk else "not_at_risk")
        for number, each in enumerate(examples)
    ]
    files = _events(tmp_path, kinds, [each.text for each in examples])
    command = ["calibrate", str(bundle.path), *GOAL, "--out", str(tmp_path / "out"), "--json"]
    ran = CliRunner().invoke(app, [*command, "--from-decisions", *files])
    assert ran.exit_code == 0, ran.output
    told = json.loads(ran.stdout)["statement"]
    unneeded = int(ran.stderr.split("left out: ")[1].split()[0])
    assert 15 < unneeded < 45
    assert told["positives"] + told["negatives"] == len(examples) - unneeded
    assert WORDS not in ran.output
    # The sample is the stream's: the command refuses the options that would otherwise say its share.
    shown = CliRunner().invoke(
        app, [*command[:-3], "--out", str(tmp_path / "again"), "--from-decisions", *files]
    )
    assert shown.exit_code == 0, shown.output
    assert "Give --prevalence" not in shown.output


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ([], "give labelled examples: --examples FILE, or --from-decisions"),
        (["--from-decisions", "x.jsonl", "y.jsonl"], "--from-decisions x.jsonl: no such file"),
        (["--from-decisions", "x", "y", "--examples", "z"], "give --examples or --from-decisions"),
        (["--from-decisions", "x", "y", "--prevalence", "0.1"], "knows the stream's share by itself"),
    ],
)
def test_what_decisions_cannot_be_given_with_is_said(bundle: Bundle, options: list[str], said: str) -> None:
    ran = CliRunner().invoke(app, ["calibrate", str(bundle.path), *GOAL, *options])
    assert isinstance(ran.exception, MimamoriError)
    assert said in str(ran.exception)
