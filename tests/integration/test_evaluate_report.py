"""`mimamori evaluate --report` on the demo's bundle and the shipped held-out examples."""

import json
from pathlib import Path

import pytest

from engine.task import SHIPPED
from tests.integration.test_cli_errors import assert_refused, mimamori

HELD_OUT = SHIPPED / "stress.heldout.jsonl"


def test_the_report_of_the_shipped_bundle_on_the_shipped_examples(
    stress_bundle: Path, tmp_path: Path
) -> None:
    assert (stress_bundle / "model.onnx.data").stat().st_size < 450e6  # of 540: the upper layers are gone
    out = tmp_path / "report.html"
    asked = ("--examples", str(HELD_OUT), "--slice", "note", "--prevalence", "0.02", "--cost-per-hour", "0.5")
    done = mimamori("evaluate", str(stress_bundle), *asked, "--json", "--report", str(out))
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told == json.loads((tmp_path / "report.json").read_text())
    assert told["auc"] > 0.9
    assert told["miss_rate"] <= 0.1
    assert told["auc_interval"]["low"] < told["auc"] <= told["auc_interval"]["high"]
    assert told["even_odds"]["f1"] > 0.7
    assert told["messages_per_second"] > 0
    assert not told["seen_at_adapt"]
    assert told["severity"]["kappa"] > 0.5
    assert {each["by"] for each in told["slices"]} == {"length", "language", "note"}
    assert all(
        each["conclusion"] == "too few to conclude" for each in told["slices"] if each["positives"] < 20
    )
    assert [each["prevalence"] for each in told["workload"]] == [0.5, 0.02]
    assert told["cost"]["per_million"] == pytest.approx(0.5 * told["cost"]["hours_per_million"])
    page = out.read_text()
    texts = [json.loads(line)["text"] for line in HELD_OUT.read_text().splitlines()]
    assert len(texts) == 48
    assert not [text for text in texts if text in page or text in done.stdout]


def test_a_report_goes_over_no_file_and_into_no_folder_that_is_not_there(
    stress_bundle: Path, tmp_path: Path
) -> None:
    examples = tmp_path / "march.json"
    examples.write_bytes(HELD_OUT.read_bytes())
    asked = ("evaluate", str(stress_bundle), "--examples", str(examples), "--report")
    assert_refused(mimamori(*asked, str(tmp_path / "march.html")), "march.json exists already", "--report")
    assert_refused(mimamori(*asked, str(tmp_path / "no" / "april.html")), "cannot write into")
    assert examples.read_bytes() == HELD_OUT.read_bytes()
