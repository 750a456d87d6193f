"""Which script a text is in, and who is shown it."""

import pytest

from review.cases.script import Script, readable_as, script_of


@pytest.mark.parametrize(
    ("text", "script"),
    [
        ("since the move I only speak to the cat", "Latn"),
        ("引っ越してから猫としか話していない", "Jpan"),
        ("明日のmeetingには行きたくない", "Jpan"),  # a word of another script in it
        ("ﾓｳﾀﾞﾒｶﾓ", "Jpan"),  # half as wide
        ("搬家以后我只跟猫说话", "Hani"),
        ("孤独", "Hani"),  # Chinese or Japanese
        ("не могу спать", "Cyrl"),
        ("لا أستطيع النوم", "Arab"),
        ("잠이 안 와요", "Kore"),
        ("नींद नहीं आती", "Deva"),
        ("ນອນບໍ່ຫຼັບ", "other"),
        ("\U0001d42c\U0001d428 \uff44\uff4f\uff57\uff4e", "Latn"),  # letters in disguise
        ("so tired today ¯\\_(ツ)_/¯", "Latn"),  # one letter of a face
        ("😭😭 ... 17:30", None),
        ("", None),
        (None, None),
    ],
)
def test_the_script_is_that_of_the_letters(text: str | None, script: Script | None) -> None:
    assert script_of(text) == script


def test_a_long_text_is_told_by_its_beginning() -> None:
    assert script_of("眠れない夜が続く" + "x" * 100_000) == "Latn"
    assert script_of("眠れない夜が続く" * 100 + "x" * 100_000) == "Jpan"


def test_who_reads_japanese_may_read_chinese_characters_alone_and_everybody_what_has_no_letters() -> None:
    readers: tuple[Script, ...] = ("Jpan", "Hani", "Latn")
    assert [readable_as("Hani", reader) for reader in readers] == [True, True, False]
    assert [readable_as("Jpan", reader) for reader in readers] == [True, False, False]
    assert [readable_as(None, reader) for reader in readers] == [True, True, True]
