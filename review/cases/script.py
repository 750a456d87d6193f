"""The script that a text is written in, by Unicode's names of its letters. Pure.

A script is no language: Latin serves hundreds. But it says who cannot read a text at all, and costs nothing.
"""

import unicodedata
from collections import Counter
from functools import lru_cache
from typing import Final, Literal

# Codes of ISO 15924, and `other`. `Jpan` has kana; `Hani` has none, and may be Chinese or Japanese.
Script = Literal[
    "Latn", "Jpan", "Hani", "Kore", "Cyrl", "Arab", "Hebr", "Grek", "Deva", "Beng", "Taml", "Thai", "other"
]
_BY_NAME: Final[dict[str, Script]] = {
    "LATIN": "Latn", "HIRAGANA": "Jpan", "KATAKANA": "Jpan", "CJK": "Hani", "HANGUL": "Kore",
    "CYRILLIC": "Cyrl", "ARABIC": "Arab", "HEBREW": "Hebr", "GREEK": "Grek", "DEVANAGARI": "Deva",
    "BENGALI": "Beng", "TAMIL": "Taml", "THAI": "Thai",
}  # fmt: skip
_LOOK: Final = 300  # characters; more of them would hardly change the answer
_SHARE: Final = 0.3  # names and loan words are often Latin: so much of another script makes the text of that
_KANA: Final = 2  # a single one is part of a kaomoji


def script_of(text: str | None) -> Script | None:
    """The script of a text. None where it has no letters, or is not here."""
    # NFKC makes plain letters of wide, narrow and mathematical ones.
    letters = [
        _script(each) for each in unicodedata.normalize("NFKC", (text or "")[:_LOOK]) if each.isalpha()
    ]
    if not letters:
        return None
    counts = Counter(letters)
    if counts["Jpan"] >= _KANA:
        counts["Jpan"] += counts.pop("Hani", 0)
    [(most, count)] = counts.most_common(1)
    others = counts.copy()
    del others["Latn"]
    if most == "Latn" and others:
        [(second, count)] = others.most_common(1)
        most = second if count >= _SHARE * len(letters) else most
    return most


@lru_cache(maxsize=4096)
def _script(letter: str) -> Script:
    return _BY_NAME.get(unicodedata.name(letter, "").partition(" ")[0], "other")


def readable_as(script: Script | None, wanted: Script) -> bool:
    """Whether somebody who asks for `wanted` may be able to read it: what has no letters, everybody can."""
    return script in {None, wanted} or (wanted, script) == ("Jpan", "Hani")
