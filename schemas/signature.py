"""The review desk's signature on a record, which shows that the desk wrote it: made here, and verified here.

It is Ed25519 over topic, key and value, and travels in a header:

    mimamori-signature: f5b2c8d90a1e4c37:kZo…==      the public key's name, a colon, the signature in base64

What is signed is `mimamori record v1`, a line feed, and then each of the three with its length before it
(four bytes, big-endian). So no other record has the same bytes, and nothing that such a key signs elsewhere,
a bundle for instance, can pass for a record. Other headers, the timestamp and the place in the topic are not
signed. A record that is copied has the same event, and so the same id, which consumers drop anyway.
"""

import base64
import binascii
import hashlib
import re
import struct
from collections.abc import Iterable, Sequence
from typing import Final, Literal, Self

import msgspec
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key

HEADER: Final = "mimamori-signature"
CONTEXT: Final = b"mimamori record v1\n"

# What is wrong with a record's signature: it has none (or more than one, or something that is none), it is by
# a key that is not trusted, or it is of another record.
Fault = Literal["unsigned", "unknown_key", "wrong"]
# As Kafka's clients give them. A header's value may be None, and a name may occur more than once.
Pairs = Iterable[tuple[str, str | bytes | None]]

_FORM: Final = re.compile(rb"([0-9a-f]{16}):([A-Za-z0-9+/]{86}==)")
_PEM: Final = re.compile(rb"-----BEGIN PUBLIC KEY-----.+?-----END PUBLIC KEY-----", re.DOTALL)


def signed_bytes(topic: str, key: bytes, value: bytes) -> bytes:
    """The bytes that a signature is of."""
    parts = (topic.encode(), key, value)
    return CONTEXT + b"".join(struct.pack(">I", len(part)) + part for part in parts)


def sign(private: Ed25519PrivateKey, topic: str, key: bytes, value: bytes) -> tuple[str, bytes]:
    """The header that signs this record: its name and its value."""
    signature = base64.b64encode(private.sign(signed_bytes(topic, key, value)))
    return HEADER, key_name(private.public_key()).encode() + b":" + signature


def key_name(key: Ed25519PublicKey) -> str:
    """The name of a public key: the first 16 hex digits of the sha256 of its 32 bytes, as for bundles."""
    return hashlib.sha256(key.public_bytes(Encoding.Raw, PublicFormat.Raw)).hexdigest()[:16]


class TrustedKeys(msgspec.Struct, frozen=True):
    """The public keys whose signatures count, by name."""

    keys: dict[str, Ed25519PublicKey]

    @classmethod
    def of(cls, keys: Sequence[Ed25519PublicKey]) -> Self:
        """These keys."""
        return cls({key_name(key): key for key in keys})

    @classmethod
    def read(cls, pem: bytes) -> Self:
        """The keys of a PEM file. Raises ValueError: it holds none, or one that is not Ed25519."""
        found = []
        for block in _PEM.findall(pem):
            try:
                key = load_pem_public_key(block)
            except UnsupportedAlgorithm as error:
                raise ValueError(str(error)) from None
            if not isinstance(key, Ed25519PublicKey):
                raise ValueError("not an ed25519 key")  # noqa: TRY004 - of the file, not of an argument
            found.append(key)
        if not found:
            raise ValueError("no public key in PEM")
        return cls.of(found)

    def fault(
        self, topic: str, key: bytes | None, value: bytes | None, headers: Pairs | None
    ) -> Fault | None:
        """What is wrong with the signature of a consumed record; None where a trusted key has signed it.

        It raises nothing, whatever a producer has put into the headers.
        """
        found = [given for name, given in headers or () if name == HEADER]
        given = found[0] if len(found) == 1 else None
        if isinstance(given, str):
            given = given.encode("utf-8", "replace")
        form = _FORM.fullmatch(given or b"")
        if form is None or key is None or value is None:
            return "unsigned"
        signer = self.keys.get(form[1].decode())
        if signer is None:
            return "unknown_key"
        try:
            signer.verify(base64.b64decode(form[2], validate=True), signed_bytes(topic, key, value))
        except (InvalidSignature, binascii.Error):
            return "wrong"
        return None
