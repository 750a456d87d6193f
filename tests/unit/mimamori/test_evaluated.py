"""What `mimamori evaluate` prints: no figure is cut off in a terminal of 80 columns."""

import re
from pathlib import Path

import msgspec
import pytest
from rich.console import Console

from engine.scores import Scores
from export.evaluating.evaluate import judge
from export.evaluating.shots import Row, Shots, Spread
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


def test_ways_are_read_with_their_rates_and_costs_at_80_columns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    examples = [LabelledExample(f"words of person {n}", at_risk=n % 3 == 0) for n in range(30)]
    scores = [Scores(0.1, severity=None, windows=1, truncated=False) for _ in examples]
    bundle = write_tiny_bundle(tmp_path / "full")
    made = judge(CannedEngine(), bundle, examples, scores, lower=0.3, upper=0.6)
    name = "a-large-model-of-2026 at api.example.org, few-shot"
    figure = Spread(0.8, 0.012, (0.79, 0.81))
    rows = tuple(Row(name, labels, figure, figure, figure, figure, figure, 0) for labels in (10, 50))
    shots = Shots("t", 80, 30, (10, 50), 2, 1, rows, {name: 10}, {name: 12.0}, {name: 345.6})
    show_evaluated(msgspec.structs.replace(made, shots=shots), None)
    shown = capsys.readouterr().out
    assert "\N{HORIZONTAL ELLIPSIS}" not in shown
    assert all(len(line) <= 80 for line in shown.splitlines())
    last = shown[shown.index("cost of a million") :]
    assert all(word in last for word in name.split())
    assert "345.60" in last


def test_a_fingerprint_is_whole_in_a_narrow_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    table = two_columns("bundle", "out")
    table.add_row("fingerprint", "0123456789abcdef" * 4)
    Console(width=50).print(table)
    cells = [line.split("│")[2].strip() for line in capsys.readouterr().out.splitlines() if "│" in line]
    assert "".join(cells) == "0123456789abcdef" * 4
