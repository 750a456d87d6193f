"""`python -m bench.bounds`, on a tiny bundle: every way and every share has its figures."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from bench import bounds
from tests.fakes.tiny_bundle import write_tiny_bundle


def test_it_measures_every_way_and_reads_texts_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    chance = np.random.default_rng(0)
    rows = []
    for number in range(360):
        ill = bool(number % 2)
        words = ["zq" if (chance.random() < 0.6) == ill else "ab" for _ in range(8)]
        rows.append(json.dumps({"text": f"{''.join(words)}{number}", "stressor": ill}))
    labelled, kept, out = (tmp_path / name for name in ("labelled.jsonl", "kept.npz", "out.json"))
    labelled.write_text("\n".join(rows))
    full = write_tiny_bundle(tmp_path / "full")
    options = ["--bundle", str(full.path), "--splits", "2", "--labels", "20", "--calibrate", "60"]
    options += ["--depths", "1", "--layer", "2", "--estimates", "0", "--keep", str(kept), "--json", str(out)]
    figures = []
    for _ in range(2):
        monkeypatch.setattr(sys, "argv", ["bounds", str(labelled), *options])
        bounds.main()
        figures.append(json.loads(out.read_text())["figures"])
    said = capsys.readouterr().out
    assert said.count("reads on") == 1  # the second time, the vectors are those that were kept
    assert set(figures[0]) == {"head", "distilled 1"}
    for way in ("head", "distilled 1"):
        assert len(figures[0][way]["confidence 0.05"]) == 2
        assert np.allclose(figures[0][way]["ECE at 0.3"], figures[1][way]["ECE at 0.3"], atol=1e-2)
        assert f"\n{way}\n" in said
