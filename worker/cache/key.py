"""Makes the keys and values of the score cache, so that they reveal no text and cannot be forged.

A key is an HMAC of the text under a secret. A value holds scores only, after an HMAC of its own that is bound
to its key. So neither holds text. A value that was written without the secret, or that belongs to another
key, is a miss and never gives a label. Nothing is hidden from someone who has the secret.
"""

import hashlib
import hmac
import math
from typing import Final

import msgspec

from engine.scores import Scores

PREFIX: Final = b"mimamori:score:"  # for ACLs (`~mimamori:*`) and for people looking at a shared Redis
SEAL_BYTES: Final = 16
FORMAT: Final = b"3"  # of values; raised with every change of Scores, so that no older value is read


def cache_key(secret: bytes, scored_by: str, text: str) -> bytes:
    """HMAC-SHA256 of the text as the model reads it, and of the scores' identity, under a secret.

    The text is not normalised, not even to NFC: most tokenizers give a composed and a decomposed "é"
    different tokens, so their scores differ, and a shared entry would make a label depend on which came
    first. `scored_by` is the identity's digest, which covers everything else that changes scores. Source:
    RFC 2104.
    """
    message = FORMAT + b"key\0" + scored_by.encode() + b"\0" + text.encode("utf-8", "surrogatepass")
    return PREFIX + hmac.digest(secret, message, hashlib.sha256)


def seal(secret: bytes, key: bytes, scores: Scores) -> bytes:
    """Encode scores as a value that `unseal` accepts only under this key."""
    payload = msgspec.msgpack.encode(scores)
    return _signature(secret, key, payload) + payload


def unseal(secret: bytes, key: bytes, value: bytes | None) -> Scores | None:
    """Decode a value; None for anything but sound scores that were sealed under this key."""
    if not isinstance(value, bytes):
        return None
    signature, payload = value[:SEAL_BYTES], value[SEAL_BYTES:]
    if not hmac.compare_digest(signature, _signature(secret, key, payload)):
        return None
    try:
        scores = msgspec.msgpack.decode(payload, type=Scores)
    except msgspec.MsgspecError:
        return None
    return scores if is_sound(scores) else None


def is_sound(scores: Scores) -> bool:
    """Whether every number is finite and in its range. Other scores are neither stored nor used.

    Nor are those whose highlights could not be found: the next message with this text may get some.
    """
    probabilities = (scores.risk, *(scores.severity or ()))
    in_range = all(math.isfinite(p) and 0.0 <= p <= 1.0 for p in probabilities)
    return in_range and scores.severity != () and scores.windows >= 1 and scores.highlights is not None


def _signature(secret: bytes, key: bytes, payload: bytes) -> bytes:
    return hmac.digest(secret, b"value\0" + key + payload, hashlib.sha256)[:SEAL_BYTES]
