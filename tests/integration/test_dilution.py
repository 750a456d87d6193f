"""A message at risk among friendly ones, on the real model: small talk must hide nobody."""

import json
from pathlib import Path

import msgspec
import pytest

from engine.bundle import Bundle
from engine.contract import Engine
from engine.errors import BundleError
from engine.load import load_engines
from engine.policy import verdict
from export.adapting.windowing import UNCUT
from mimamori.demo.stage import CONVERSATIONS
from schemas.events import Thresholds

AT_RISK = ("038", "041", "048", "063", "067", "076")
FRIENDLY = ("001", "003", "005", "010", "013", "022", "025", "034", "036", "055", "058", "060", "072", "079")


@pytest.fixture(scope="module")
def bundle(stress_bundle: Path) -> Bundle:
    return Bundle.load(stress_bundle)


@pytest.fixture(scope="module")
def engines(bundle: Bundle) -> list[Engine]:
    """As the bundle says, and with windows as long as the message; on one graph, opened once."""
    assert bundle.calibration is not None
    uncut = msgspec.structs.replace(bundle.calibration.fitted_on, windowing=UNCUT)
    whole = msgspec.structs.replace(bundle.calibration, fitted_on=uncut)
    both = [bundle, msgspec.structs.replace(bundle, calibration=whole)]
    return load_engines(both, highlights_from=[None, None])


def _demo(ids: tuple[str, ...]) -> list[str]:
    lines = map(json.loads, CONVERSATIONS.read_text().splitlines())
    texts = {line["id"].removeprefix("demo-"): str(line["text"]) for line in lines}
    return [texts[each] for each in ids]


def _among_friends() -> list[str]:
    """Each message at risk in the middle of 130 friendly words."""
    friends = _demo(FRIENDLY)
    return [" ".join([*friends[:7], text, *friends[7:]]) for text in _demo(AT_RISK)]


def _verdicts(engine: Engine, thresholds: Thresholds, texts: list[str]) -> list[str]:
    scores = engine.read(texts)
    assert not any(each.truncated for each in scores)
    return [verdict(each.risk, thresholds) for each in scores]


def test_small_talk_hides_nobody(bundle: Bundle, engines: list[Engine]) -> None:
    engine, _ = engines
    thresholds = bundle.thresholds_for(engine.identity)
    assert "clear" not in _verdicts(engine, thresholds, _demo(AT_RISK))
    assert "clear" not in _verdicts(engine, thresholds, _among_friends())
    assert "at_risk" not in _verdicts(engine, thresholds, [" ".join(_demo(FRIENDLY))])


def test_windows_as_long_as_the_message_would_hide_much_of_it(bundle: Bundle, engines: list[Engine]) -> None:
    """The fault itself: were this not so, the test above would show nothing."""
    engine, blurred = engines
    with pytest.raises(BundleError, match="messages are read in windows of 256"):
        bundle.thresholds_for(blurred.identity)
    texts = _among_friends()
    whole_risks = [each.risk for each in blurred.read(texts)]
    windowed = [each.risk for each in engine.read(texts)]
    lower = sum(one < other for one, other in zip(whole_risks, windowed, strict=True))
    assert lower >= len(AT_RISK) - 1
    assert sum(whole_risks) < 0.75 * sum(windowed)
