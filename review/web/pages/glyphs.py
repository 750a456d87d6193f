"""Makes characters visible that a browser would hide, or that change how the rest is shown. Pure.

A message can hold characters without a shape of their own: controls that reverse the reading order, spaces
of no width, tags that spell a second text, marks piled up over a letter. A reviewer has to see that they are
there. So each is shown as a small label with its name, and is not sent to the browser, which makes it inert.

Where such a character belongs to ordinary writing, it stays: joiners inside emoji and in scripts that join
letters, and the tags of a flag.
"""

import unicodedata
from collections.abc import Callable, Iterator
from typing import Final

import msgspec

SHORT: Final = {
    0x00AD: "SHY", 0x034F: "CGJ", 0x061C: "ALM", 0x115F: "HCF", 0x1160: "HJF", 0x17B4: "KIV",
    0x17B5: "KIV", 0x180E: "MVS", 0x200B: "ZWSP", 0x200C: "ZWNJ", 0x200D: "ZWJ", 0x200E: "LRM",
    0x200F: "RLM", 0x2028: "LSEP", 0x2029: "PSEP", 0x202A: "LRE", 0x202B: "RLE", 0x202C: "PDF",
    0x202D: "LRO", 0x202E: "RLO", 0x2060: "WJ", 0x2066: "LRI", 0x2067: "RLI", 0x2068: "FSI",
    0x2069: "PDI", 0x2800: "BLANK", 0x3164: "HF", 0xFEFF: "BOM", 0xFFA0: "HHF", 0xFFFC: "OBJ",
    0x00: "NUL", 0x08: "BS", 0x0B: "VT", 0x0C: "FF", 0x0D: "CR", 0x1B: "ESC", 0x7F: "DEL",
}  # fmt: skip
HIDDEN_CATEGORIES: Final = frozenset({"Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp"})
JOINERS: Final = frozenset("\u200c\u200d")
TAGS: Final = range(0xE0000, 0xE0080)
CANCEL_TAG: Final = "\U000e007f"
BLACK_FLAG: Final = "\U0001f3f4"
VARIATION_SELECTORS: Final = (range(0xFE00, 0xFE10), range(0xE0100, 0xE01F0))
PILED_UP: Final = 4
# Scripts whose letters change their shape with a joiner between them: Arabic to Thaana, and the Indic ones.
JOINING: Final = (range(0x0600, 0x08FF), range(0x0900, 0x0E00), range(0x1000, 0x10A0), range(0x1780, 0x1880))


class Plain(msgspec.Struct, frozen=True):
    """A stretch of text that is shown as it is."""

    text: str


class Glyph(msgspec.Struct, frozen=True):
    """A run of one hidden character, or of tags. `said` is what the tags spell; `name` is Unicode's own."""

    text: str
    short: str
    name: str
    count: int
    said: str = ""


def visible(text: str) -> Iterator[Plain | Glyph]:
    """Split a text into what is shown and what has to be named. Their `text` together is the whole text."""
    at = plain_from = 0
    while at < len(text):
        end = _hidden_until(text, at)
        if end == at:
            at += 1
            continue
        if plain_from < at:
            yield Plain(text[plain_from:at])
        yield _glyph(text[at:end])
        at = plain_from = end
    if plain_from < len(text):
        yield Plain(text[plain_from:])


def _hidden_until(text: str, at: int) -> int:
    """Where the hidden run that starts here ends; `at` itself where nothing is hidden here."""
    here = text[at]
    if here.isascii() and (here.isprintable() or here in "\n\t" or text[at : at + 2] == "\r\n"):
        return at
    if ord(here) in TAGS:
        return at if _spells_a_flag(text, at) else _run(text, at, lambda each: ord(each) in TAGS)
    if _is_mark(here) and ord(here) not in SHORT:
        return _piled_up_until(text, at)
    if not _is_hidden(here) or (here in JOINERS and _joins(text, at)):
        return at
    return _run(text, at, lambda each: each == here)


def _is_hidden(character: str) -> bool:
    if character in "\n\t":
        return False
    return ord(character) in SHORT or unicodedata.category(character) in HIDDEN_CATEGORIES


def _joins(text: str, at: int) -> bool:
    """Whether this one joiner stands between two characters that are written so."""
    before, after = text[at - 1 : at], text[at + 1 : at + 2]
    if not before or not after or after in JOINERS:
        return False
    if text[at] == "\u200d" and _is_symbol(after) and (_is_symbol(before) or before == "\ufe0f"):
        return True
    return any(ord(before) in script and ord(after) in script for script in JOINING)


def _is_symbol(character: str) -> bool:
    return unicodedata.category(character) in {"So", "Sk"} or 0x1F3FB <= ord(character) <= 0x1F3FF  # noqa: PLR2004 - skin tones


def _spells_a_flag(text: str, at: int) -> bool:
    start = at
    while start and ord(text[start - 1]) in TAGS:
        start -= 1
    if text[start - 1 : start] != BLACK_FLAG:
        return False
    end = _run(text, start, lambda each: ord(each) in TAGS)
    # A region has at most six letters or digits; anything longer is a second text behind a flag.
    return text[end - 1] == CANCEL_TAG and end - start <= 7  # noqa: PLR2004


def _piled_up_until(text: str, at: int) -> int:
    if any(ord(text[at]) in selectors for selectors in VARIATION_SELECTORS):
        end = _run(text, at, lambda each: any(ord(each) in some for some in VARIATION_SELECTORS))
        return at if end - at == 1 and at else end
    start = at
    while start and _is_mark(text[start - 1]):
        start -= 1
    return at if at - start < PILED_UP else _run(text, at, _is_mark)


def _is_mark(character: str) -> bool:
    return unicodedata.category(character) in {"Mn", "Me"}


def _run(text: str, at: int, belongs: Callable[[str], bool]) -> int:
    end = at + 1
    while end < len(text) and belongs(text[end]):
        end += 1
    return end


def _glyph(run: str) -> Glyph:
    first = ord(run[0])
    if first in TAGS:
        said = "".join(chr(ord(each) - 0xE0000) for each in run if 0x20 <= ord(each) - 0xE0000 < 0x7F)  # noqa: PLR2004 - ASCII
        return Glyph(run, "TAG", "TAG CHARACTERS", len(run), said)
    if any(first in some for some in VARIATION_SELECTORS):
        return Glyph(run, "VS", _name(run[0]), len(run))
    if _is_mark(run[0]) and first not in SHORT:
        return Glyph(run, "MARKS", "COMBINING MARKS", len(run))
    short = SHORT.get(first) or f"U+{first:04X}"
    return Glyph(run, short, _name(run[0]), len(run))


def _name(character: str) -> str:
    return unicodedata.name(character, f"U+{ord(character):04X}")
