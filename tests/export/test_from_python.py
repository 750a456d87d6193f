"""The program of docs/how-to/use-from-python.md, run as it stands on a tiny bundle."""

import json
import random
import re
from pathlib import Path

import pytest

from engine.bundle import Bundle
from tests.fakes.tiny_bundle import write_tiny_bundle

PAGE = Path(__file__).parents[2] / "docs/how-to/use-from-python.md"
CHANCE = random.Random(7)  # noqa: S311 - letters, no secrets


def _text(*, at_risk: bool) -> str:
    mine, others = ("zqxvw", "abcde") if at_risk else ("abcde", "zqxvw")
    return "".join(CHANCE.choice(mine if CHANCE.random() < 0.8 else others) for _ in range(14))


def _write(path: Path, count: int) -> None:
    rows = [{"text": _text(at_risk=n % 2 == 0), "at_risk": n % 2 == 0} for n in range(count)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def test_the_program_of_the_page_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (program,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    # The tiny bundle is proved on this device alone.
    for call, here in {
        "progress, ": 'progress, device="cpu", ',
        "progress)": 'progress, device="cpu")',
        "load_engine(bundle)": 'load_engine(bundle, device="cpu")',
    }.items():
        assert call in program
        program = program.replace(call, here)
    monkeypatch.chdir(tmp_path)
    write_tiny_bundle(tmp_path / "bundles" / "full")
    for name, count in (("labelled", 40), ("apart", 120), ("heldout", 60)):
        _write(tmp_path / f"{name}.jsonl", count)
    (tmp_path / "week.txt").write_text("\n".join(_text(at_risk=n % 4 == 0) for n in range(400)))
    exec(compile(program, str(PAGE), "exec"), {"__name__": "page"})  # noqa: S102 - our own page
    assert Bundle.load(tmp_path / "bundles" / "signed").calibration is not None
    assert (tmp_path / "march.html").exists()
    assert len((tmp_path / "to-label.jsonl").read_text().splitlines()) == 25
    assert "at most 0.1 of those at risk are cleared, with 0.9 confidence" in capsys.readouterr().out
