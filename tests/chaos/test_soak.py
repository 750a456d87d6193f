"""`mimamori soak`, short: every kind of fault on the canned engine, and a few on the real one."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from mimamori.soak.plan import kinds
from mimamori.soak.run import Setup, soak


@pytest.mark.timeout(240)
def test_every_fault_and_every_outcome_exactly_once(tmp_path: Path) -> None:
    file = tmp_path / "soak.json"
    command = ["soak", "--records", "30000", "--kills", "12", "--seed", "1", "--json", str(file)]
    ran = subprocess.run(
        [sys.executable, "-m", "mimamori", *command], capture_output=True, text=True, timeout=220, check=False
    )
    assert ran.returncode == 0, ran.stderr
    assert "sound: every record has exactly one outcome" in ran.stderr
    told = json.loads(file.read_bytes())
    assert (told["records"], told["kills"]) == (30_000, 12)
    assert [told[trouble] for trouble in ("lost", "twice", "out_of_order", "mismatched_cases")] == [0] * 4
    assert all(told["faults"][kind] >= 1 for kind in (*kinds(1), "malformed"))
    assert len(told["log"]) == sum(told["faults"][kind] for kind in kinds(1))
    assert [struck["at_s"] for struck in told["log"]] == sorted(struck["at_s"] for struck in told["log"])


@pytest.mark.timeout(240)
def test_the_real_engine_under_faults(stress_bundle: Path, tmp_path: Path) -> None:
    # Worker 0 is a static member. Where it is replaced in the middle of a rebalance, partitions have no
    # reader until a look at the group finds them, in less than a minute (docs/benchmarks/soak.md).
    setup = Setup(records=300, kills=1, seed=2, workers=2, partitions=4, bundle=stress_bundle)
    result = soak(setup, tmp_path)
    assert result.sound, f"{result.line()}; the workers' logs are in {tmp_path}"
    assert result.kills == 1
    assert all(result.faults[kind] >= 1 for kind in kinds(1))


def test_a_bundle_must_be_named() -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "mimamori", "soak", "--engine", "bundle"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ran.returncode == 1
    assert "--bundle" in ran.stderr
