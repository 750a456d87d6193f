"""Characters that hide, or that reorder what stands around them, are shown by name; others are not."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from review.web.pages.glyphs import Glyph, Plain, visible

FLAG = "\U0001f3f4\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f"


def shown(text: str) -> list[str]:
    return [each.short if isinstance(each, Glyph) else each.text for each in visible(text)]


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("a\u202ebc\u202c", ["a", "RLO", "bc", "PDF"]),
        ("\u2066x\u2069", ["LRI", "x", "PDI"]),
        ("\ufeffhello", ["BOM", "hello"]),
        ("a\u200bb", ["a", "ZWSP", "b"]),
        ("s\u00ado", ["s", "SHY", "o"]),
        ("\u3164\u115f", ["HF", "HCF"]),
        ("a\x00b\x1b[31m", ["a", "NUL", "b", "ESC", "[31m"]),
        ("x\rpaid", ["x", "CR", "paid"]),
        ("\ue000\ufdd0", ["U+E000", "U+FDD0"]),
        ("k\u2028l\u2029", ["k", "LSEP", "l", "PSEP"]),
        ("n\u034fo", ["n", "CGJ", "o"]),
        ("s\u200do", ["s", "ZWJ", "o"]),
    ],
)
def test_what_hides_is_named(text: str, parts: list[str]) -> None:
    assert shown(text) == parts


@pytest.mark.parametrize(
    "text",
    [
        "two\nlines\tand a tab\r\n",
        "👨\u200d👩\u200d👧 ❤\ufe0f 🏳\ufe0f\u200d🌈 👩🏽\u200d💻",
        FLAG,
        "e\u0301 Việt",
        "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",
        "क्\u200dष",
        "疲れました。",
    ],
)
def test_ordinary_writing_stays_as_it_is(text: str) -> None:
    assert [each for each in visible(text) if isinstance(each, Glyph)] == []


def test_a_run_is_one_label_with_its_length_and_unicodes_name() -> None:
    (glyph,) = visible("\u200b" * 12)
    assert isinstance(glyph, Glyph)
    assert (glyph.short, glyph.name, glyph.count) == ("ZWSP", "ZERO WIDTH SPACE", 12)


def test_tags_are_read_out_unless_they_are_a_flags() -> None:
    second = "".join(chr(0xE0000 + ord(each)) for each in "meet me")
    for text in ("hi" + second, "\U0001f3f4" + second):
        glyph = list(visible(text))[-1]
        assert isinstance(glyph, Glyph)
        assert (glyph.short, glyph.said) == ("TAG", "meet me")


def test_marks_that_pile_up_are_cut_off_with_their_number() -> None:
    glyph = list(visible("e" + "\u0301" * 40))[-1]
    assert isinstance(glyph, Glyph)
    assert (glyph.short, glyph.count) == ("MARKS", 36)


def test_no_bidi_control_is_ever_left_in_what_is_shown() -> None:
    controls = [chr(code) for code in range(0x110000) if unicodedata.bidirectional(chr(code)) in BIDI]
    assert len(controls) == 9
    for control in controls:
        assert all(control not in each.text for each in visible(f"a{control}b") if isinstance(each, Plain))


BIDI = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}


@given(
    st.text(
        alphabet=st.sampled_from(
            "ae\u0301\u200b\u200d\u202e\ufe0f👩💻❤\U0001f3f4\U000e0067\U000e007f\n\r\u0627"
        )
    )
)
def test_nothing_is_lost_and_nothing_is_added(text: str) -> None:
    assert "".join(each.text for each in visible(text)) == text


@pytest.mark.parametrize(
    "unit", ["\u200b", "\u0301", "\U000e0061", "\U0001f3f4\U000e0061", "a\u200d", "\ufe0f", "e\u0301"]
)
def test_a_hostile_text_takes_time_in_proportion(unit: str) -> None:
    # A quadratic reading of so many characters would take hours, and the suite's limit would end it.
    text = unit * (200_000 // len(unit))
    assert sum(len(each.text) for each in visible(text)) == len(text)
