"""The second reading: a disguised text as a person would read it. Pure, linear, never raises.

    plain text ──one regular expression──► nothing to do (most messages)
    suspect    ──► entities · unseen and look-alike characters · encoded text
                   · letters apart · digits for letters · capitals · drawn-out letters ──► the variant

A text has at most one variant. The original is read as well and the higher risk counts (`twice.py`), so for a
harmless text that is changed here, the second reading only costs time.
"""

import html
import re
from typing import Final, NamedTuple

from engine.disguise import encoded, glyphs

# Part of every score's identity: raise it with any change here, in `glyphs`, `encoded` or `language`.
VERSION: Final = 1

_ENTITY: Final = r"&(?:#[0-9]{1,7}|#[xX][0-9A-Fa-f]{1,6}|[A-Za-z]{2,31});"
_APART: Final = r"(?<![^\W_])[^\W\d_](?:[^\w\n]{1,3}|_)[^\W\d_](?:(?:[^\w\n]{1,3}|_)[^\W\d_]){2,}(?![^\W_])"
_LEET: Final = r"[A-Za-z][013457@$!|]{1,2}[A-Za-z]"
_LOUD: Final = r"\b[A-Z]+\b[^\w\n]+[A-Z]{2,}[^\w\n]+[A-Z]{2,}"
_DRAWN: Final = r"([A-Za-z])\1\1"
# Matches every character that hides something, or may do so. Such a text is examined more closely.
_ODD: Final = (
    "[^\t\n\r\x20-\x7e\xa0-\xac\xae-\u024f\u0590-\u05ff\u0606-\u061b\u061d-\u06dc\u06de-\u070e\u0710-\u088f"
    "\u0892-\u08e1\u08e3-\u115e\u1161-\u139f\u1400-\u17b3\u17b6-\u180a\u1810-\u1aaf\u1b00-\u1c7f\u1e00-\u200a"
    "\u200c-\u2029\u202f-\u205f\u2070\u2074-\u207e\u2080-\u208e\u20a0-\u20cf\u20e3\u2100\u2101\u2116-\u2118\u211e-\u2123"
    "\u2139-\u213b\u2150-\u215f\u2180-\u249b\u24ea-\u27ff\u2900-\u3163\u3165-\ua63f\ua6a0-\ua72f\ua800-\uab2f"
    "\uabc0-\ud7ff\uf900-\ufaff\ufb07-\ufb4f\ufdfe-\ufe1f\ufe30-\ufe6f\uff01-\uff0f\uff1a-\uff20\uff3b-\uff40"
    "\uff5b-\uff9f\uffa1-\uffef\U0001f000-\U0001f10f\U0001f18a-\U000dffff]"
)
_HIDDEN_JOIN: Final = f"[{glyphs.LATIN}][{glyphs.JOINING}]+[{glyphs.LATIN}0-9]"
_ENCODED: Final = f"{encoded.BLOB}|{encoded.BITS}|{encoded.PERCENT}|{encoded.ESCAPES}"
_SUSPECT: Final = re.compile(f"{_ODD}|{_HIDDEN_JOIN}|{_ENTITY}|{_APART}|{_LEET}|{_LOUD}|{_DRAWN}|{_ENCODED}")
_NESTED: Final = re.compile(r"&(?:amp;|#0*38;|#[xX]0*26;)+")
_ENTITIES: Final = re.compile(_ENTITY)
_LETTERS_APART: Final = re.compile(_APART)
_SPACE_BETWEEN: Final = re.compile(r"[^\w\n]{2,3}")
_LETTER: Final = re.compile(r"[^\W\d_]")
_LEET_WORD: Final = re.compile(r"(?<![\w@$!|.])[\w@$!|]+(?![\w@])")
_LEET_INSIDE: Final = re.compile(_LEET)
_ADDRESS: Final = re.compile(r"(?:https?://|www\.|[^\s@]{1,64}@[^\s@.]+\.|[@#]\w)\S*")
_DRAWN_OUT: Final = re.compile(_DRAWN + r"+")
_LOUD_WORDS: Final = re.compile(_LOUD)
_DIGITS: Final = str.maketrans("013457@$!|", "oieastasil")
_COUNTED: Final = re.compile(
    r"[$]?\d+[A-Za-z]{0,3}|[A-Za-z]{3,}\d+|[Mm][Pp]\d\w?|[A-Za-z]*[$@!|]+"
)  # "4th", "10am", "mp3s"
_LONGEST_WORD: Final = 24  # letters; longer words are keys and hashes
# "feel", "kill", "miss": these letters are reduced to two, all others to one
_DOUBLED: Final = frozenset("elsELS")
_DRAWN_WORDS: Final = 2
_LOUD_SHARE: Final = 0.7
_PASSES: Final = 4
_LONG_APART: Final = 12  # letters in a row with no sign of where a word ends
_ROOM: Final = 256  # characters


class Variant(NamedTuple):
    """`text` is the second reading, None where there is none. `obfuscated`: a part stays unreadable."""

    text: str | None
    obfuscated: bool


PLAIN: Final = Variant(None, obfuscated=False)


def vary(text: str) -> Variant:
    """Return the second reading of `text`.

    If it grows beyond twice the length, it is cut and `obfuscated`.
    """
    if not _SUSPECT.search(text):
        return PLAIN
    most = 2 * len(text) + _ROOM
    read, obfuscated = text, False
    for _ in range(_PASSES):
        before = read
        read, hidden = _undisguised(before)
        obfuscated = obfuscated or hidden or len(read) > most
        read = read[:most]
        if read == before:
            break
    else:
        obfuscated = obfuscated or _undisguised(read)[0] != read
    return Variant(None if read == text or not read.strip() else read, obfuscated)


def _undisguised(text: str) -> tuple[str, bool]:
    if "&" in text:
        text = _ENTITIES.sub(lambda entity: html.unescape(entity[0]), _NESTED.sub("&", text))
    text, unseen = glyphs.seen(text)
    text, blobs = encoded.decoded(text)
    text, apart = _joined(text)
    return _slowed(_lowered(_spelled(text))), unseen or blobs or apart


def _joined(text: str) -> tuple[str, bool]:
    """Join letters that stand apart into words; also return whether word boundaries could not be found."""
    lost = False

    def join(run: re.Match[str]) -> str:
        nonlocal lost
        letters = _LETTER.findall(run[0])
        between = _LETTER.split(run[0])[1:-1]
        least = min(map(len, between))
        words = [letters[0]]
        for gap, letter in zip(between, letters[1:], strict=True):
            words[-1:] = [words[-1], letter] if len(gap) > least and " " in gap else [words[-1] + letter]
        lost = lost or max(map(len, words)) >= _LONG_APART
        return " ".join(words)

    return _LETTERS_APART.sub(join, text), lost


def _spelled(text: str) -> str:
    """Replace digits and signs inside words by the letters that they stand for."""
    if not _LEET_INSIDE.search(text):
        return text
    addresses = [match.span() for match in _ADDRESS.finditer(text)]
    pieces, done = [], 0
    for start, stop in addresses:
        pieces += [_LEET_WORD.sub(_unleet, text[done:start]), text[start:stop]]
        done = stop
    return "".join([*pieces, _LEET_WORD.sub(_unleet, text[done:])])


def _unleet(word: re.Match[str]) -> str:
    tail = len(word[0]) - len(word[0].rstrip("!|"))
    body = word[0][: len(word[0]) - tail]
    if len(body) > _LONGEST_WORD or not _LETTER.search(body) or _COUNTED.fullmatch(body):
        return word[0]
    return body.translate(_DIGITS) + word[0][len(body) :]


def _lowered(text: str) -> str:
    """Turn shouting into lower case, where most letters are capitals and they form words."""
    if not _LOUD_WORDS.search(text):
        return text
    capitals = sum(map(str.isupper, text))
    return text.lower() if capitals > _LOUD_SHARE * sum(map(str.isalpha, text)) else text


def _slowed(text: str) -> str:
    """Shorten drawn-out letters where at least two words have them; a single one is ordinary writing."""
    runs = _DRAWN_OUT.findall(text)
    if len(runs) < _DRAWN_WORDS:
        return text
    return _DRAWN_OUT.sub(lambda run: run[1] * (2 if run[1] in _DOUBLED else 1), text)
