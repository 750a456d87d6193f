"""Decodes text that hides its words in base64, hexadecimal, bits, percent signs or escapes. Pure.

Keys, hashes and addresses look encoded too and are harmless. So encoded text counts only where it decodes to
words, or where random characters make up most of the message.
"""

import base64
import binascii
import re
from typing import Final

BLOB: Final = (
    r"(?<![\w/+.-])(?:[A-Za-z0-9+/_-]{20,}={0,2}|[0-9A-Fa-f]{2}(?:[ :][0-9A-Fa-f]{2}){7,})(?![\w/+])"
)
BITS: Final = r"(?<!\d)[01]{8}(?: ?[01]{8}){3,}(?!\d)"
PERCENT: Final = r"(?:%[0-9A-Fa-f]{2}){4,}"
ESCAPES: Final = r"(?:\\u[0-9A-Fa-f]{4}|\\x[0-9A-Fa-f]{2}){4,}"

_ANY: Final = re.compile(f"(?P<bits>{BITS})|(?P<blob>{BLOB})|(?P<percent>{PERCENT})|(?P<escapes>{ESCAPES})")
_ADDRESS: Final = re.compile(r"https?://\S+|www\.\S+")
_HEX: Final = re.compile(r"[0-9A-Fa-f]{2}(?:[ :]?[0-9A-Fa-f]{2})+")
_WORDS: Final = 0.85  # the share of letters, spaces and punctuation in what counts as words
_SHORTEST: Final = 4  # characters
_MOST: Final = 0.9  # of a message
_HASHES: Final = frozenset((32, 40, 64))  # the lengths of MD5, SHA-1 and SHA-256 in characters
_LONG: Final = 40  # characters
_RANDOM: Final = re.compile(r"(?=.*[a-z])(?=.*[0-9])")


def decoded(text: str) -> tuple[str, bool]:
    """`text` with encoded words decoded; and whether it had any, or is little else than a random string."""
    addresses = (
        [match.span() for match in _ADDRESS.finditer(text)] if "http" in text or "www." in text else []
    )
    found = opaque = 0

    def reveal(part: re.Match[str]) -> str:
        nonlocal found, opaque
        if any(start <= part.start() < stop for start, stop in addresses):
            return part[0]
        words = _words(_bytes(part))
        if words is None:
            random = part.lastgroup == "blob" and len(part[0]) >= _LONG and len(part[0]) not in _HASHES
            random = random and bool(_RANDOM.match(part[0]))
            opaque += len(part[0]) if random else 0
            return part[0]
        found += 1
        return words

    revealed = _ANY.sub(reveal, text)
    return revealed, bool(found) or opaque > _MOST * len(text)


def _bytes(part: re.Match[str]) -> bytes:
    blob = part[0]
    if part.lastgroup == "bits":
        bits = blob.replace(" ", "")
        return int(bits, 2).to_bytes(len(bits) // 8, "big") if len(bits) <= 1 << 16 else b""
    if part.lastgroup == "percent":
        return bytes.fromhex(blob.replace("%", ""))
    if part.lastgroup == "escapes":
        codes = re.findall(r"[0-9A-Fa-f]{4}|[0-9A-Fa-f]{2}", blob)
        return "".join(chr(int(code, 16)) for code in codes).encode("utf-8", "replace")
    if _HEX.fullmatch(blob):
        return bytes.fromhex(re.sub("[ :]", "", blob))
    body = blob.rstrip("=").replace("-", "+").replace("_", "/")
    if len(body) % 4 == 1:  # the last character holds no whole byte
        body = body[:-1]
    try:
        return base64.b64decode(body + "=" * (-len(body) % 4))
    except (binascii.Error, ValueError):
        return b""


def _words(raw: bytes) -> str | None:
    """The text in `raw`, or None where it is not words."""
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        return None
    spoken = sum(character.isalpha() or character in " ',.!?" for character in text)
    return text if len(text) >= _SHORTEST and spoken >= _WORDS * len(text) else None
