"""What every engine promises, held against the canned one and against real graphs on each device."""

from typing import get_args

import msgspec
import numpy as np
import pytest

from engine.bundle import Bundle
from engine.contract import Engine
from engine.devices import onnxruntime
from engine.identity import Windowing
from engine.load import load_engine, open_reader
from export.adapting.adapt import adapt
from export.examples import LabelledExample
from mimamori.soak.canned_engine import CannedEngine
from schemas.vocabulary import Reading
from tests.fakes.tiny_bundle import TASK, write_tiny_bundle

LEVELS = len(TASK.level_names)
DEVICES = ("openvino", *onnxruntime.devices())  # cuda is among them where there is a GPU
TEXTS = [
    "ok",
    "I can't sleep, and work never ends",
    "見守り",
    "",
    "?" * 90,
    "ok",
    "a longer one: " + "x" * 200,
]
EXAMPLES = [
    LabelledExample(text=word * n, at_risk=at_risk, severity=severity)
    for n in range(1, 9)
    for word, at_risk, severity in (("zq", True, TASK.level_names[n % LEVELS]), ("ab", False, None))
]


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return write_tiny_bundle(tmp_path_factory.mktemp("tiny") / "full")


@pytest.fixture(scope="module")
def adapted(full: Bundle) -> Bundle:
    out = full.path.parent / "adapted"
    adapt(full.path, EXAMPLES, out, lambda *_: None, device="cpu")
    return Bundle.load(out)


@pytest.fixture(
    params=[f"{device} {reading}" for device in ("canned", *DEVICES) for reading in get_args(Reading)],
    scope="module",
)
def engine(request: pytest.FixtureRequest, full: Bundle, adapted: Bundle) -> Engine:
    device, reading = request.param.split()
    if device == "canned":
        return CannedEngine(levels=LEVELS, reading=reading)
    bundle = adapted if reading == "pooled" else full
    return load_engine(bundle, device=device, precision="fp32")


def test_as_many_scores_as_texts(engine: Engine) -> None:
    for count in range(len(TEXTS) + 1):
        assert len(engine.read(TEXTS[:count])) == count
        assert len(engine.grade(TEXTS[:count])) == count


def test_scores_come_in_the_order_of_the_texts(engine: Engine) -> None:
    forward, backward = engine.read(TEXTS), engine.read(TEXTS[::-1])
    assert [s.risk for s in forward] == pytest.approx([s.risk for s in backward[::-1]], abs=1e-4)


def test_a_score_does_not_depend_on_its_neighbours(engine: Engine) -> None:
    together = engine.read(TEXTS)
    alone = [engine.read([text])[0] for text in TEXTS]
    assert [s.risk for s in together] == pytest.approx([s.risk for s in alone], abs=1e-4)
    grades = zip(engine.grade(TEXTS), (engine.grade([text])[0] for text in TEXTS), strict=True)
    for in_batch, by_itself in grades:
        assert in_batch == pytest.approx(by_itself, abs=1e-4)


def test_scores_are_probabilities(engine: Engine) -> None:
    for scores in engine.read(TEXTS):
        assert 0.0 <= scores.risk <= 1.0
        assert scores.windows >= 1
    for grades in engine.grade(TEXTS):
        assert len(grades) == LEVELS
        assert sum(grades) == pytest.approx(1.0)


def test_severity_comes_with_the_pooled_reading_alone(engine: Engine) -> None:
    severities = [scores.severity for scores in engine.read(TEXTS)]
    if engine.reading == "pooled":
        assert severities == engine.grade(TEXTS)
    else:
        assert severities == [None] * len(TEXTS)


def test_what_cannot_be_tokenised_counts_as_unread(engine: Engine) -> None:
    assert [scores.truncated for scores in engine.read(["", "ok"])] == [True, False]


def test_it_says_what_runs(engine: Engine) -> None:
    assert engine.device in engine.describe()


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("reading", ["full", "adapted"])
def test_the_riskiest_window_of_a_long_message_counts(
    full: Bundle, adapted: Bundle, device: str, reading: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    windowing = Windowing(tokens=16, overlap=4, whole=16, sentences=False)
    monkeypatch.setattr("engine.bundle.bundle.PROMPTED", windowing)
    bundle = full
    if reading == "adapted":
        assert adapted.calibration is not None
        fitted_on = msgspec.structs.replace(adapted.calibration.fitted_on, windowing=windowing)
        calibration = msgspec.structs.replace(adapted.calibration, fitted_on=fitted_on)
        bundle = msgspec.structs.replace(adapted, calibration=calibration)
    engine = load_engine(bundle, device=device, precision="fp32", max_message_tokens=40)  # type: ignore[arg-type] # literals above
    text = "abcdefghijklmnopqrstuvwxyz 0123456789!"  # one token a byte: 38
    parts = [text[0:16], text[12:28], text[22:38]]
    (whole,) = engine.read([text])
    assert whole.windows == 3
    assert not whole.truncated
    assert whole.risk == pytest.approx(max(scores.risk for scores in engine.read(parts)), abs=1e-4)
    (longer,) = engine.read([text * 2])
    assert (longer.windows, longer.truncated) == (3, True)


@pytest.mark.parametrize("device", DEVICES)
def test_the_bound_prefix_reads_like_a_prompt_in_one_piece(full: Bundle, device: str) -> None:
    """Last row's keys after the prefix, against prefix and row run as one row without a past."""
    reader = open_reader(full, "label_logits", device=device, precision="fp32")  # type: ignore[arg-type] # literals above
    unprefixed = _without_prefix(full)
    whole = open_reader(unprefixed, "label_logits", device=device, precision="fp32")  # type: ignore[arg-type] # same
    row = reader.tokenise(["I am fine"])[0]
    assert np.allclose(reader.rows([row]), whole.rows([[*reader.prompt.prefix, *row]]), atol=1e-4)


def _without_prefix(bundle: Bundle) -> Bundle:

    prompt = msgspec.structs.replace(bundle.manifest.prompt, prefix="")
    return msgspec.structs.replace(bundle, manifest=msgspec.structs.replace(bundle.manifest, prompt=prompt))


def test_devices_agree(full: Bundle, adapted: Bundle) -> None:
    for bundle in (full, adapted):
        one = load_engine(bundle, device="cpu").read(TEXTS)
        other = load_engine(bundle, device="openvino", precision="fp32").read(TEXTS)
        assert [s.risk for s in one] == pytest.approx([s.risk for s in other], abs=1e-4)
