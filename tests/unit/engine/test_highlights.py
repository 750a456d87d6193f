"""Highlights on the tiny model: contributions add up to the score, and nothing they do changes a score."""

import shutil
from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from engine.bundle import MODEL, Bundle, write_manifest
from engine.device_names import STATES
from engine.devices.device import Floats
from engine.identity import MAX_MESSAGE_TOKENS, Windowing
from engine.load import engine_on, load_engine, open_reader
from engine.odds import Odds
from engine.reading.highlights import Highlighter
from engine.scores import Scores
from export.adapting.adapt import adapt
from export.examples import LabelledExample
from tests.fakes.tiny_bundle import write_tiny_bundle

EXAMPLES = [
    LabelledExample(text=word * n, at_risk=word == "zq") for n in range(1, 9) for word in ("zq", "ab")
]
TEXTS = ["zqzq and zq", "ab", "眠れない 😔 zq", "", "zq " * 30 + "the end. " + "zq " * 30, "m4d w0rds zq"]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    folder = tmp_path_factory.mktemp("tiny")
    adapt(
        write_tiny_bundle(folder / "full").path, EXAMPLES, folder / "adapted", lambda *_: None, device="cpu"
    )
    return Bundle.load(folder / "adapted")


def without(scores: Sequence[Scores]) -> list[Scores]:
    return [msgspec.structs.replace(each, highlights=()) for each in scores]


def highlighter(bundle: Bundle, device: str, windowing: Windowing | None = None) -> Highlighter:
    reader = open_reader(bundle, "pooled", device=device, precision="fp32")  # type: ignore[arg-type] # literals above
    assert bundle.heads is not None
    return Highlighter(bundle.heads, reader, windowing or bundle.windowing, MAX_MESSAGE_TOKENS, 0.0)


@pytest.mark.parametrize("device", ["cpu", "openvino"])
def test_contributions_sum_to_the_log_odds(bundle: Bundle, device: str) -> None:
    """In a padded batch, as messages are read: log-odds = bias + the sum over the row's own tokens."""
    reader = open_reader(bundle, "pooled", device=device, precision="fp32")  # type: ignore[arg-type] # literals above
    found = Highlighter(bundle.heads, reader, bundle.windowing, MAX_MESSAGE_TOKENS, 0.0)  # type: ignore[arg-type] # adapted
    rows = [row for row in reader.tokenise(["zq", "a longer one", "眠れない", "x"]) if row]
    values: dict[int, np.ndarray] = {}

    def note(group: Sequence[int], vectors: Floats) -> None:
        values.update(found.contributions(group, np.ones(len(vectors)), rows))

    vectors = reader.rows(rows, note=note)
    heads = bundle.heads
    assert heads is not None
    log_odds = (vectors - heads.mean) / heads.scale @ heads.risk_weight + heads.risk_bias
    assert sorted(values) == list(range(len(rows)))
    for index, row in enumerate(rows):
        assert len(values[index]) == len(row)
        assert float(heads.risk_bias) + values[index].sum() == pytest.approx(log_odds[index], abs=1e-4)


@pytest.mark.parametrize("device", ["cpu", "openvino"])
def test_they_change_no_score(bundle: Bundle, device: str) -> None:
    plain = load_engine(bundle, device=device, precision="fp32")  # type: ignore[arg-type] # literals above
    looking = load_engine(bundle, device=device, precision="fp32", highlights_from=0.0)  # type: ignore[arg-type] # literals above
    assert looking.identity == plain.identity
    assert without(looking.read(TEXTS)) == plain.read(TEXTS)
    assert any(scores.highlights for scores in looking.read(TEXTS))
    assert not any(scores.highlights for scores in plain.read(TEXTS))


@pytest.mark.parametrize("odds", [None, Odds(1.0, -3.0)], ids=["as fitted", "as calibrated"])
def test_only_risky_messages_get_them(bundle: Bundle, odds: Odds | None) -> None:
    """Risky is what the thresholds say, which are about risks as a calibrated bundle restates them."""
    assert bundle.calibration is not None
    fitted_on = msgspec.structs.replace(bundle.calibration.fitted_on, odds=odds)
    calibration = msgspec.structs.replace(bundle.calibration, fitted_on=fitted_on)
    bundle = msgspec.structs.replace(bundle, calibration=calibration)
    texts = [text for text in TEXTS if 0 < len(text) < 16]  # of one window each
    risks = [scores.risk for scores in load_engine(bundle, device="cpu").read(texts)]
    least = sorted(risks)[-2]
    found = load_engine(bundle, device="cpu", highlights_from=least).read(texts)
    assert not any(each.highlights for each, risk in zip(found, risks, strict=True) if risk < least)
    assert any(each.highlights for each in found)


@given(text=st.text(max_size=120), sentences=st.booleans())
def test_places_are_those_of_the_rows_that_are_read(bundle: Bundle, text: str, *, sentences: bool) -> None:
    """Each token of each row stands where its bytes are: the tiny tokenizer has one token a byte."""
    windowing = Windowing(tokens=12, overlap=4, whole=16, sentences=sentences)
    found = highlighter_of(bundle, windowing)
    rows = found._reader.cutter(windowing).cut([text]).tokens
    places = found.places(text)
    if not text:
        assert places == [[]]  # the row is one blank token, of which nothing stands in the text
        return
    assert [len(row) for row in places] == [len(row) for row in rows]
    for row, of_row in zip(rows, places, strict=True):
        for token, (start, stop) in zip(row, of_row, strict=True):
            assert 0 <= start < stop <= len(text)
            (expected,) = {found._reader.tokenise([char])[0].count(token) > 0 for char in text[start:stop]}
            assert expected


_KEPT: dict[Windowing, Highlighter] = {}


def highlighter_of(bundle: Bundle, windowing: Windowing) -> Highlighter:
    """Opened once for each windowing, because hypothesis asks many times."""
    if windowing not in _KEPT:
        _KEPT[windowing] = highlighter(bundle, "cpu", windowing)
    return _KEPT[windowing]


def test_a_fault_costs_the_highlights_and_no_score(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = load_engine(bundle, device="cpu").read(TEXTS)
    reader = open_reader(bundle, "pooled", device="cpu")
    engine = engine_on(reader, bundle, highlights_from=0.0)

    def fails(*_: object) -> Floats:
        raise RuntimeError(f"a message that quotes {TEXTS[0]}")

    for name, owner in (("tokens", reader.device), ("places", reader)):
        with monkeypatch.context() as patch, capture_logs() as logs:
            patch.setattr(owner, name, fails)
            broken = engine.read(TEXTS)
        assert without(broken) == plain
        assert broken[0].highlights is None
        assert {line["event"] for line in logs} == {"highlights_failed"}
        assert "zq" not in str(logs)


def test_a_bundle_of_an_earlier_version_has_none_and_says_so(bundle: Bundle, tmp_path: Path) -> None:
    older = tmp_path / "older"
    shutil.copytree(bundle.path, older)
    model = onnx.load(older / MODEL, load_external_data=False)
    (states,) = (value for value in model.graph.output if value.name == STATES)
    model.graph.output.remove(states)
    (older / MODEL).write_bytes(model.SerializeToString())
    write_manifest(older, bundle.manifest)
    with capture_logs() as logs:
        engine = load_engine(Bundle.load(older), device="cpu", highlights_from=0.0)
    assert [line["why"] for line in logs if line["event"] == "no_highlights"]
    assert {scores.highlights for scores in engine.read(TEXTS)} == {()}
