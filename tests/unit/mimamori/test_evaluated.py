"""What `mimamori evaluate` prints: no figure is cut off in a terminal of 80 columns."""

import re
from pathlib import Path

import pytest
from rich.console import Console

from engine.scores import Scores
from export.evaluating.evaluate import judge
from export.examples import LabelledExample
from mimamori.cli.evaluated import show_evaluated
from mimamori.cli.labelled import two_columns
from mimamori.soak.canned_engine import CannedEngine
from tests.fakes.tiny_bundle import write_tiny_bundle


def test_no_figure_is_cut_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    examples = [LabelledExample(f"words of person {n}", at_risk=n % 3 == 0) for n in range(30)]
    scores = [
        Scores(0.1 + n % 7 / 9, severity=(0.2, 0.3, 0.5), windows=1, truncated=False) for n in range(30)
    ]
    bundle = write_tiny_bundle(tmp_path / "full")
    show_evaluated(judge(CannedEngine(), bundle, examples, scores, lower=0.3, upper=0.6), None)
    shown = capsys.readouterr().out
    assert len(re.findall(r"\(\d\.\d{3}-\d\.\d{3}\)", shown)) >= 12  # four figures of three rules
    assert "\N{HORIZONTAL ELLIPSIS}" not in shown


def test_a_fingerprint_is_whole_in_a_narrow_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    table = two_columns("bundle", "out")
    table.add_row("fingerprint", "0123456789abcdef" * 4)
    Console(width=50).print(table)
    cells = [line.split("│")[2].strip() for line in capsys.readouterr().out.splitlines() if "│" in line]
    assert "".join(cells) == "0123456789abcdef" * 4
