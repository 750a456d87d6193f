"""Seals what the desk's table keeps: AES-256-GCM, under keys that can be changed one after the other.

    sealed = format (1 byte) · which key (8) · nonce (12) · what AES-GCM makes of it, with its tag (16)

A sealed entry is bound to the key it is stored under, so that nobody who can write to the disk or to the
changelog can show one case's text in another's place. Whoever sees it still sees how long the content is.

The nonce is random. NIST SP 800-38D allows 2**32 entries under one key so; at ten writes a second that takes
thirteen years.
"""

import base64
import binascii
import hashlib
import os
from collections.abc import Sequence
from typing import Final, Self

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from review.errors import DeskError

KEY_BYTES: Final = 32
_FORMAT: Final = b"\x01"
_ID_BYTES: Final = 8
_NONCE_BYTES: Final = 12
_HEAD: Final = len(_FORMAT) + _ID_BYTES
_SHORTEST: Final = _HEAD + _NONCE_BYTES + 16


class SealError(DeskError):
    """A sealed entry cannot be opened. Says why, and never what is in it."""


class KeyGoneError(SealError):
    """It was sealed with a key that is not among those given. All others of that key are as lost: stop."""


class ChangedError(SealError):
    """It is not what was sealed there: changed, cut off, moved, or never sealed. One entry is lost."""


class Key(msgspec.Struct, frozen=True, repr_omit_defaults=True):
    """One key. `name` is made from it and tells nothing about it; it may be logged, `secret` never."""

    secret: bytes

    @classmethod
    def make(cls) -> Self:
        """Make a new key."""
        return cls(os.urandom(KEY_BYTES))

    @classmethod
    def read(cls, text: str) -> Self:
        """Read a key in base64, as `openssl rand -base64 32` prints it. Raises ValueError: it is none."""
        try:
            secret = base64.b64decode(text.strip(), validate=True)
        except (binascii.Error, ValueError):
            raise ValueError("a key is not base64") from None
        if len(secret) != KEY_BYTES:
            raise ValueError(f"a key has {len(secret)} bytes, it needs {KEY_BYTES}")
        return cls(secret)

    @property
    def text(self) -> str:
        """The key as `read` reads it."""
        return base64.b64encode(self.secret).decode()

    @property
    def id(self) -> bytes:
        """Which key this is, in sealed entries."""
        return hashlib.blake2b(self.secret, digest_size=_ID_BYTES, person=b"mimamori-table").digest()

    @property
    def name(self) -> str:
        """Which key this is, for people."""
        return self.id.hex()

    def __repr__(self) -> str:
        return f"Key({self.name})"


class Cipher:
    """Seals with the first of its keys, and opens with whichever of them an entry was sealed with."""

    def __init__(self, keys: Sequence[Key]) -> None:
        if not keys:
            raise ValueError("a cipher needs a key")
        self.keys = tuple(keys)
        self._sealing = _FORMAT + keys[0].id
        self._by_head = {_FORMAT + key.id: AESGCM(key.secret) for key in keys}

    def seal(self, content: bytes, bound_to: bytes) -> bytes:
        """Seal `content` under the key that it will be stored under."""
        nonce = os.urandom(_NONCE_BYTES)
        head = self._sealing
        return head + nonce + self._by_head[head].encrypt(nonce, content, head + bound_to)

    def open(self, sealed: bytes, bound_to: bytes) -> bytes:
        """Open what `seal` made, given the key it is stored under.

        Raises KeyGoneError: its key is not here. ChangedError: it is not what was sealed under that name.
        """
        if len(sealed) < _SHORTEST or not sealed.startswith(_FORMAT):
            raise ChangedError("an entry of the desk's table was not sealed by a desk: it is not used")
        head = sealed[:_HEAD]
        found = self._by_head.get(head)
        if found is None:
            raise KeyGoneError(
                f"the desk's table was sealed with the key {head[len(_FORMAT) :].hex()}, and only "
                f"{', '.join(key.name for key in self.keys)} is here: bring that key back as another of "
                "MIMAMORI_REVIEW_TABLE_KEYS; docs/how-to/keep-and-erase.md says what to do where it is lost"
            )
        nonce, content = sealed[_HEAD : _HEAD + _NONCE_BYTES], sealed[_HEAD + _NONCE_BYTES :]
        try:
            return found.decrypt(nonce, content, head + bound_to)
        except InvalidTag:
            pass
        raise ChangedError("an entry of the desk's table is not what a desk sealed there: it is not used")

    def is_current(self, sealed: bytes) -> bool:
        """Whether an entry is sealed with the first key. One that is not can be opened and sealed again."""
        return sealed.startswith(self._sealing)
