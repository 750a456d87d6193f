"""The checker is shown to fail: real workers on a real Kafka, broken in one way each, must be caught."""

import uuid
from pathlib import Path

import pytest

from mimamori.sandbox import Sandbox
from mimamori.soak.result import Result
from mimamori.soak.run import Setup, soak_on
from tests.chaos import sabotage


class Given:
    """The servers of the test run, with nothing between them and the workers."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.bootstrap = sandbox.bootstrap
        self.redis_url = sandbox.redis_url

    def bootstrap_of(self, slot: int) -> str:
        del slot
        return self.bootstrap


@pytest.fixture
def given(sandbox: Sandbox) -> Given:
    return Given(sandbox)


def run(
    given: Given, entry: str, folder: Path, monkeypatch: pytest.MonkeyPatch, patience_s: float = 10
) -> Result:
    """A few thousand records through two workers of the sabotage; asserts that it has struck.

    `patience_s`: what is not there after a silence of this length is lost. A busy machine is slow to rejoin;
    only where something is lost does the run last for so long.
    """
    mark = folder / "mark"
    monkeypatch.setenv(sabotage.MARK, str(mark))
    setup = Setup(
        records=4_000,
        kills=0,
        seed=5,
        workers=2,
        partitions=4,
        entry=f"tests.chaos.sabotage:{entry}",
        prefix=f"{uuid.uuid4().hex[:8]}.",
        stall_s=patience_s,
        session_s=1.2,
        settings={"max_records": 50, "max_batches": 2, "quality_sample_share": 0.0},
    )
    result = soak_on(given, setup, folder)
    assert mark.exists()
    return result


def test_a_fenced_zombie_changes_nothing(
    given: Given, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control: the same zombie at the same moment, with the fence in its place."""
    result = run(given, "zombie", tmp_path, monkeypatch, patience_s=60)
    assert result.sound, result.line()
    log = "".join(file.read_text() for file in tmp_path.glob("worker-*.log"))
    assert "transaction_aborted" in log  # it did try


def test_without_the_fence_a_zombie_repeats(
    given: Given, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = run(given, "unfenced_zombie", tmp_path, monkeypatch)
    assert result.findings.counts["twice"] > 0, result.line()
    assert not result.sound


def test_offsets_before_delivery_lose_a_batch(
    given: Given, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = run(given, "offsets_first", tmp_path, monkeypatch)
    assert result.findings.counts["lost"] > 0, result.line()
    assert not result.sound


@pytest.mark.parametrize(
    ("entry", "trouble"),
    [
        ("duplicating", "twice"),
        ("swallowing", "lost"),
        ("swapping", "out_of_order"),
        ("hushing", "mismatched_cases"),
    ],
)
def test_one_wrong_record_is_found_and_nothing_else(
    given: Given, entry: str, trouble: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    findings = run(given, entry, tmp_path, monkeypatch).findings
    assert [name for name, count in findings.counts.items() if count] == [trouble]
    assert findings.counts[trouble] == len(findings.first_ids[trouble]) <= 3
