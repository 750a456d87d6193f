"""Replaces characters that stand for other letters, and removes characters that nobody sees. Pure.

Only what hides Latin letters is changed. Emoji sequences, accents, full-width punctuation and other scripts
stay as they are, so that ordinary typography costs no second reading.
"""

import re
import unicodedata
from typing import Final

from confusable_homoglyphs import confusables

LATIN: Final = "A-Za-z\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u024f"
# Characters that are never visible: control and format characters, blanks of other scripts, and halves of
# surrogate pairs.
UNSEEN: Final = (
    "\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b"
    "\u202a-\u202e\u2060-\u206f\u2800\u3164\ud800-\udfff\ufeff\uffa0\ufff0-\ufffc"
    "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)
# Characters that belong in emoji and in other scripts. After a Latin letter they only hide it.
JOINING: Final = (
    "\u0600-\u0605\u06dd\u070f\u0890\u0891\u08e2\u200c-\u200f\ufe00-\ufe0f"
    "\U000110bd\U000110cd\U00013430-\U0001343f"
)
MARKS: Final = "\u0300-\u036f\u0483-\u0489\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f"
# Full-width, mathematical, circled and other forms of letters, without typography such as ™ and №.
FORMS: Final = (
    "\u1d2c-\u1d6a\u1d78\u1d9b-\u1dbf\u2071\u207f\u2090-\u209c\u2102-\u2115\u2119-\u211d\u2124-\u2138"
    "\u213c-\u2149\u2160-\u217f\u249c-\u24e9\ufb00-\ufb06\ufb50-\ufdff\ufe70-\ufefc"
    "\uff10-\uff19\uff21-\uff3a\uff41-\uff5a\U0001d400-\U0001d7ff\U0001f110-\U0001f149"
    "\U0001f150-\U0001f169\U0001f170-\U0001f189"
)
# Scripts with letters that look Latin: Greek to Armenian, Cherokee, phonetic letters and small capitals.
LOOKALIKE: Final = (
    "\u0250-\u02af\u0370-\u058f\u13a0-\u13ff\u1d00-\u1d2b\u1c80-\u1c8f\ua640-\ua69f\ua730-\ua7ff\uab30-\uabbf"
)

_UNSEEN: Final = re.compile(f"[{UNSEEN}]+")
_JOINING: Final = re.compile(f"(?<=[{LATIN}{MARKS}])[{JOINING}]+(?=[{LATIN}{MARKS}0-9])")
_FORMS: Final = re.compile(f"[{FORMS}]")
_MARKED: Final = re.compile(f"([{LATIN}])([{MARKS}]+)")
_OVERLAY: Final = re.compile("[\u0334-\u0338\u20d0-\u20ff]")
_REVERSED: Final = re.compile("\u202e([^\u202c\u202e\n]*)\u202c?")
_FLAG: Final = re.compile("\U0001f3f4[\U000e0030-\U000e007a]{2,6}\U000e007f")
_TAGS: Final = re.compile("[\U000e0020-\U000e007e]+")
_WORD: Final = re.compile(f"[{LATIN}{LOOKALIKE}']+")
_HAS_LATIN: Final = re.compile(f"[{LATIN}]")
_HAS_LOOKALIKE: Final = re.compile(f"[{LOOKALIKE}]")
# One Greek letter at the edge of a word ("mu-Torrent", "delta-T") is scientific notation, not disguise.
_MIXED: Final = re.compile(
    "[A-Za-z][\u0370-\u058f\u13a0-\u13ff]+[A-Za-z]"
    "|[\u0400-\u058f\u13a0-\u13ff]{2}[A-Za-z]|[A-Za-z][\u0400-\u058f\u13a0-\u13ff]{2}"
)
_STACK: Final = 3  # accents on one letter; Vietnamese needs two
# If this share of the words in another script consists of look-alikes only, they are disguised Latin words.
_SPELLED: Final = 0.8


def _lookalikes() -> dict[str, str]:
    table = {
        odd: min(letters)
        for odd, found in confusables.confusables_data.items()
        if len(odd) == 1
        and _HAS_LOOKALIKE.match(odd)
        and (
            letters := [
                one["c"] for one in found if len(one["c"]) == 1 and one["c"].isascii() and one["c"].isalpha()
            ]
        )
    }
    table |= dict.fromkeys("\u0399\u0406\u04c0", "I") | dict.fromkeys(
        "\u03b9\u0269", "i"
    )  # the library says l, because it compares shapes only
    for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZ":
        try:
            table[unicodedata.lookup(f"LATIN LETTER SMALL CAPITAL {letter}")] = letter.lower()
        except KeyError:  # there are none for Q and X
            continue
    return table


_LOOKALIKES: Final = str.maketrans(_lookalikes())


def seen(text: str) -> tuple[str, bool]:
    """`text` as a person sees it; and whether it has tag characters, or words that mix scripts."""
    hidden = False
    if _TAGS.search(bare := _FLAG.sub("", text)):
        text, hidden = _TAGS.sub(lambda tags: "".join(chr(ord(c) - 0xE0000) for c in tags[0]), bare), True
    text = _REVERSED.sub(lambda part: part[1][::-1], text)
    text = _UNSEEN.sub(_unless_flag, text)
    text = _JOINING.sub("", text)
    text = _FORMS.sub(_plain_form, text)
    text = _unmarked(text)
    if _HAS_LOOKALIKE.search(text):
        hidden = hidden or bool(_MIXED.search(text))
        text = _spelled(text)
    return text, hidden


def _unless_flag(unseen: re.Match[str]) -> str:
    flag = (
        unseen.start()
        and unseen.string[unseen.start() - 1] == "\U0001f3f4"
        and unseen[0].endswith("\U000e007f")
    )
    return unseen[0] if flag else ""


def _plain_form(form: re.Match[str]) -> str:
    code = ord(form[0])
    for first in (0x1F150, 0x1F170):  # white on black: Unicode does not map these to letters
        if first <= code < first + 26:
            return chr(code - first + ord("A"))
    return unicodedata.normalize("NFKC", form[0])


def _unmarked(text: str) -> str:
    """Remove all marks from letters buried in them; compose one or two accents with their letter."""
    stacks = _MARKED.findall(text)
    if not stacks:
        return text
    buried = any(len(marks) >= _STACK or _OVERLAY.search(marks) for _, marks in stacks)
    # There are at most two marks on each letter, so this takes linear time. Normalising long runs would not.
    if not buried:
        return _MARKED.sub(lambda one: unicodedata.normalize("NFC", one[0]), text)
    return _MARKED.sub(lambda one: unicodedata.normalize("NFD", one[1])[0], text)


def _spelled(text: str) -> str:
    """Write words of look-alikes in Latin letters, unless they are words of another script."""
    words = [
        word for word in _WORD.findall(text) if _HAS_LOOKALIKE.search(word) and not _HAS_LATIN.search(word)
    ]
    wholly = sum(word.translate(_LOOKALIKES).isascii() for word in words)
    foreign = wholly < _SPELLED * len(words)

    def spell(word: re.Match[str]) -> str:
        if not _HAS_LOOKALIKE.search(word[0]) or (foreign and not _HAS_LATIN.search(word[0])):
            return word[0]
        plain = word[0].translate(_LOOKALIKES)
        return plain if not _HAS_LOOKALIKE.search(plain) or _HAS_LATIN.search(word[0]) else word[0]

    return _WORD.sub(spell, text)
