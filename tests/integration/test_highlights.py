"""Highlights on the real model: they are where its score comes from."""

import random
from pathlib import Path
from statistics import mean

import numpy as np
import pytest

from bench.highlights import faithful
from engine.bundle import Bundle
from engine.contract import Engine
from engine.identity import MAX_MESSAGE_TOKENS
from engine.load import engine_on, load_engine, open_reader
from engine.reading.highlights import Highlighter
from engine.reading.reader import Reader
from engine.task import load_task
from export.examples import read_examples, shipped_examples

TASK = load_task("stress")
HELD_OUT = shipped_examples(TASK).with_name("stress.heldout.jsonl")


@pytest.fixture(scope="module")
def bundle(stress_bundle: Path) -> Bundle:
    return Bundle.load(stress_bundle)


@pytest.fixture(scope="module")
def reader(bundle: Bundle) -> Reader:
    return open_reader(bundle, "pooled")


@pytest.fixture(scope="module")
def engine(bundle: Bundle, reader: Reader) -> Engine:
    """As `load_engine` makes it, on the open graph."""
    assert bundle.calibration is not None
    return engine_on(reader, bundle, highlights_from=bundle.calibration.lower)


def test_without_the_highlighted_words_the_score_falls_further_than_without_others(engine: Engine) -> None:
    """On texts that the heads have not seen, and on those that they were fitted on."""
    texts = [example.text for example in read_examples(HELD_OUT, TASK)]
    texts += [example.text for example in read_examples(shipped_examples(TASK), TASK)]
    found = faithful(engine, texts, 0, random.Random(1))  # noqa: S311 - draws spans, no secret
    assert found["messages"] >= 20  # of 112 texts, half of them at risk
    assert found["fall, highlighted"] > found["fall, random"] + 0.3
    assert found["more than random"] > 0.7
    assert found["covered"] < 0.5  # who marks everything, marks nothing


def test_contributions_sum_to_the_log_odds(bundle: Bundle, reader: Reader) -> None:
    """In the precision that runs here: bf16 rounds the mean that the score is made of."""
    heads = bundle.heads
    assert heads is not None
    highlighter = Highlighter(heads, reader, bundle.windowing, MAX_MESSAGE_TOKENS, 0.0)
    rows = reader.tokenise(["I can't sleep, and nobody asks", "明日までに終わらない。もう無理 😔", "gm"])
    values: dict[int, np.ndarray] = {}
    vectors = reader.rows(
        rows,
        note=lambda group, out: values.update(highlighter.contributions(group, np.ones(len(out)), rows)),
    )
    log_odds = (vectors - heads.mean) / heads.scale @ heads.risk_weight
    assert [values[index].sum() for index in range(3)] == pytest.approx(log_odds.tolist(), abs=0.05)


def test_looking_for_them_changes_no_score(bundle: Bundle, engine: Engine) -> None:
    """Not even by rounding, in whatever precision runs here."""
    texts = [example.text for example in read_examples(HELD_OUT, TASK)][:16]
    plain = [scores.risk for scores in load_engine(bundle).read(texts)]
    assert [scores.risk for scores in engine.read(texts)] == plain


def test_they_are_places_in_the_text_as_sent(engine: Engine) -> None:
    texts = [
        "😔😔 hey. I can't go on like this, I cried all night and nobody knows",
        "もう頑張れないかもしれない。誰かに聞いてほしいだけなのに。",
        "ok so I H4TE MY L1FE and I cant st0p cry1ng",
        "see you at eight! " * 12
        + "I can't sleep, I can't eat, everything is falling apart. "
        + "bye! " * 20,
    ]
    for text, scores in zip(texts, engine.read(texts), strict=True):
        assert scores.highlights
        for each in scores.highlights:
            covered = text[each.start : each.end]
            assert covered
            assert covered == covered.strip()
    assert mean(len(scores.highlights or ()) for scores in engine.read(texts)) <= 5
    (long,) = engine.read(texts[3:])
    assert any("sleep" in texts[3][each.start : each.end + 40] for each in long.highlights or ())
