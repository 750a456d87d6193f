"""What `mimamori drift` says of labels, with a bundle that knows its traffic and with one that does not."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import numpy as np
import pytest

from engine.bundle import DRIFT, Bundle, write_manifest
from engine.drift import expect
from engine.errors import BundleError, TaskError
from mimamori.drifting import drift, labels_of
from schemas import encode
from schemas.events import Label, Origin, Thresholds
from schemas.reasons import Reason
from tests.fakes.tiny_bundle import write_tiny_bundle
from worker.kafka.record import Record
from worker.registry.framing import framed
from worker.registry.label_reading import LabelReader
from worker.registry.label_writing import FramedLabels
from worker.telemetry.drift import noted_of

THEN = datetime(2026, 11, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return write_tiny_bundle(tmp_path_factory.mktemp("tiny") / "plain")


@pytest.fixture(scope="module")
def expecting(plain: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """The same bundle with a drift.json."""
    bundle = write_tiny_bundle(tmp_path_factory.mktemp("tiny") / "expecting")
    expected = expect([noted_of(label, 20) for label in stream(1000, plain)])
    (bundle.path / DRIFT).write_bytes(msgspec.json.encode(expected))
    write_manifest(bundle.path, bundle.manifest)
    return Bundle.load(bundle.path)


def stream(
    number: int, bundle: Bundle, *, shift: float = 0.0, seed: int = 0, scored_by: str = "fp32-1"
) -> list[Label]:
    chance = np.random.default_rng(seed)
    risks = 1 / (1 + np.exp(-chance.normal(-2 + shift, 1.5, number)))
    reasons: list[Reason] = ["below_lower_threshold"]
    return [
        Label(
            f"label:m:{seed}:{at}", f"m-{seed}-{at}", Origin("m", seed, at), "tiny", "clear", float(risk),
            None, reasons, Thresholds(0.9, 0.95, "test"), "pooled", bundle.fingerprint, 1, False, False,
            THEN + timedelta(seconds=at), scored_by,
        )
        for at, risk in enumerate(risks)
    ]  # fmt: skip


def movements(report: object) -> dict[str, str]:
    return {each.signal: each.movement for each in report.signals}  # type: ignore[attr-defined]


def test_the_expected_stream_is_stable_and_another_is_not(expecting: Bundle) -> None:
    same = drift(expecting, stream(2000, expecting, seed=1), 5000)
    assert (same.against, same.expected, same.labels) == ("traffic", 1000, 2000)
    assert set(movements(same).values()) == {"stable"}
    assert same.said == ("The stream is stable: it looks as it did then.",)
    other = drift(expecting, stream(2000, expecting, seed=1, shift=2), 5000)
    assert movements(other)["risk"] == "shifted"
    assert "adapt or calibrate again" in other.said[-1]
    assert "characters" not in movements(other)  # labels do not say how long a text was


def test_without_expectations_the_newest_labels_are_compared_with_those_before(plain: Bundle) -> None:
    report = drift(plain, [*stream(800, plain), *stream(800, plain, seed=1, shift=2)], 5000)
    assert (report.against, report.expected, report.labels) == ("past", 800, 800)
    assert movements(report)["risk"] == "shifted"
    assert "adapted without traffic" in report.said[-1]


def test_too_few_labels_conclude_nothing_and_none_is_an_error(expecting: Bundle, plain: Bundle) -> None:
    report = drift(expecting, stream(100, expecting, shift=3), 5000)
    assert set(movements(report).values()) == {"too few"}
    assert report.said[0].startswith("Nothing is concluded")
    for bundle in (plain, expecting):
        with pytest.raises(TaskError, match="nothing can be compared yet; 3 left out: of another bundle"):
            drift(bundle, [], 5000, Counter({"of another bundle": 3}))


def test_only_the_bundles_own_labels_count_and_each_once(plain: Bundle, expecting: Bundle) -> None:
    own = stream(20, plain)
    values = [
        encode(own[0]),  # written again
        b"no label at all",
        encode(stream(1, expecting)[0]),
        encode(msgspec.structs.replace(own[1], id="label:m:0:99", task="other")),
        *map(encode, stream(3, plain, seed=1, scored_by="bf16-1")),
        *map(FramedLabels("json", 7).encode, own),
        framed(7, b"{}"),
    ]
    records = [Record("labels", 0, at, None, value, 0, []) for at, value in enumerate(values)]
    found, left_out = labels_of(records, LabelReader(), "tiny", plain.fingerprint)
    assert found == own
    assert sorted(left_out.items()) == [
        ("no label", 1),
        ("no label, by the schema that its frame names", 1),
        ("of another bundle", 1),
        ("of another task (other)", 1),
        ("repeated", 1),
        ("scored in another way (precision, limits)", 3),
    ]


@pytest.mark.parametrize(
    "content",
    [
        b"{",
        b"{}",
        b'{"messages": 1, "signals": {"risk": {"edges": [0.5], "counts": [1]}}}',
        b'{"messages": 0}',
    ],
)
def test_an_impossible_file_is_refused_by_its_name(content: bytes, tmp_path: Path) -> None:
    bundle = write_tiny_bundle(tmp_path / "bundle")
    (bundle.path / DRIFT).write_bytes(content)
    write_manifest(bundle.path, bundle.manifest)
    with pytest.raises(BundleError, match=r"drift\.json.*adapt --traffic"):
        Bundle.load(bundle.path)


def test_it_decides_no_score(plain: Bundle, expecting: Bundle) -> None:
    assert plain.manifest.model == expecting.manifest.model
    assert plain.fingerprint != expecting.fingerprint
