"""Many texts asked about at once, against py3langid's own answer for each."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from py3langid.langid import MODEL_FILE, LanguageIdentifier

from engine.language import LONGEST_LOOK, LanguageDetector
from engine.language_model import FEWEST, language_model

SENTENCES = [
    "I have not slept since the move",
    "je n'arrive plus à dormir",
    "bugün çok yorgunum",
    "ich kann nicht mehr",
    "明日また話そう",
    "мне плохо",
    "NOBODY ANSWERS MY MESSAGES ANY MORE",
    "",
    "?!",
    "e\u0301te\u0301 sans fin",
    "\ud800 half of a pair",
]


@pytest.fixture(scope="module")
def alone() -> LanguageIdentifier:
    """py3langid as its own users call it, one text at a time."""
    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)


@settings(max_examples=60)
@given(
    st.lists(
        st.sampled_from(SENTENCES)
        | st.text(max_size=40)
        | st.builds(lambda text, times: text * times, st.sampled_from(SENTENCES), st.integers(1, 60)),
        max_size=3 * FEWEST,
    )
)
def test_asked_together_each_text_gets_the_answer_that_it_gets_alone(
    alone: LanguageIdentifier, texts: list[str]
) -> None:
    model = language_model()
    shares = model.shares(texts)
    assert shares.shape == (len(texts), len(model.labels))
    for text, row in zip(texts, shares, strict=True):
        expected = dict(alone.rank(text))
        first = {label: model.labels.index(label) for label in expected}
        together = np.array([row[first[label]] for label in expected])
        np.testing.assert_allclose(together, list(expected.values()), atol=2e-5)
        assert row.sum() == pytest.approx(1, abs=1e-4)


@given(st.lists(st.sampled_from(SENTENCES), min_size=FEWEST, max_size=2 * FEWEST))
def test_who_else_is_asked_about_changes_no_language(texts: list[str]) -> None:
    detector = LanguageDetector(["en", "ja"])
    assert detector.foreign(texts) == [detector.foreign([text])[0] for text in texts]


def test_a_long_text_among_short_ones_is_read_to_the_end_of_its_look() -> None:
    long = "ok " * (LONGEST_LOOK // 3 - 20) + "je n'arrive plus à dormir depuis des semaines"
    texts = [*SENTENCES, long, *SENTENCES]
    place = len(SENTENCES)
    assert LanguageDetector(["en"]).foreign(texts)[place] == LanguageDetector(["en"]).foreign([long])[0]
    (row,) = language_model().shares([long])
    np.testing.assert_allclose(language_model().shares(texts)[place], row, atol=2e-5)
