"""Signs and verifies bundles with ed25519, to show who vouches for them. Works offline, with PEM key files.

The signature covers a fixed context string, so that it cannot be mistaken for a signature of anything else,
and the bundle's fingerprint, which covers the checksum of every file. It is stored beside bundle.json and is
not part of the fingerprint. Keys have the formats that openssl writes and reads (PKCS 8 and
SubjectPublicKeyInfo).
"""

import base64
import hashlib
import os
import re
from pathlib import Path
from typing import Final

import msgspec
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from engine.errors import BundleError, SettingsError

SIGNATURE: Final = "bundle.sig"
# Hex digits of a pinned fingerprint: 128 bits, for which nobody can construct a second bundle.
SHORTEST: Final = 32

_CONTEXT: Final = b"mimamori bundle v1\n"
_LARGEST: Final = 64 << 10  # bytes of a key file or a signature
_PEM: Final = re.compile(rb"-----BEGIN PUBLIC KEY-----.+?-----END PUBLIC KEY-----", re.DOTALL)


class Signature(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """bundle.sig. `key` is the public key's name (`key_name`), `value` the signature in base64."""

    algorithm: str
    key: str
    value: str


class Trust(msgspec.Struct, frozen=True):
    """Which bundles may be opened: those with given fingerprints, those signed by a key, both, or any.

    `fingerprint` is one, or several with commas between them, or the first SHORTEST or more digits of each.
    """

    fingerprint: str = ""
    public_key: Path | None = None

    def allows(self, fingerprint: str) -> bool:
        """Whether a bundle of this fingerprint may run, whoever signed it."""
        return fingerprint.startswith(tuple(self.fingerprint.split(",")))

    def require(self, bundle: Path, fingerprint: str) -> None:
        """Raise BundleError where the bundle is not trusted. Until then, nothing of it but a hash is used."""
        if not self.allows(fingerprint):
            raise BundleError(
                f"{bundle} has the fingerprint {fingerprint}, and {self.fingerprint} alone is allowed: bring "
                "back the bundle that was allowed, or allow this one (MIMAMORI_BUNDLE_FINGERPRINT)"
            )
        if self.public_key is not None:
            verify(bundle, fingerprint, self.public_key)


def make_keys(private: Path, public: Path, passphrase: bytes | None) -> str:
    """Write a new key pair; only the owner may read the private key. Returns the key's name.

    Raises BundleError: a file exists already, or cannot be written.
    """
    key = Ed25519PrivateKey.generate()
    hidden = BestAvailableEncryption(passphrase) if passphrase else NoEncryption()
    content = {
        private: key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, hidden),
        public: key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
    }
    for path, pem in content.items():
        try:
            mode = 0o600 if path == private else 0o644
            with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
                file.write(pem)
        except OSError as error:
            raise BundleError(f"cannot write the key {path}: {error.strerror}; choose another file") from None
    return key_name(key.public_key())


def encrypted(private: Path) -> bool:
    """Whether the private key needs a passphrase. Raises SettingsError: the file cannot be read."""
    return b"BEGIN ENCRYPTED" in _read_key(private)


def sign(bundle: Path, fingerprint: str, private: Path, passphrase: bytes | None = None) -> str:
    """Write the signature beside bundle.json, replacing an older one. Returns the key's name.

    Raises SettingsError: the key cannot be used, or other users may read it and it has no passphrase.
    BundleError: the signature cannot be written.
    """
    pem = _read_key(private)
    # Kubernetes and ssh also protect keys by file mode; a passphrase protects a key wherever it is.
    if not encrypted(private) and private.stat().st_mode & 0o077:
        raise SettingsError(f"others may read the private key {private}: chmod 600, or give it a passphrase")
    try:
        key = load_pem_private_key(pem, passphrase)
    except (TypeError, ValueError, UnsupportedAlgorithm):
        raise SettingsError(
            f"{private} is not a private key in PEM, or the passphrase is wrong: make a key with "
            "`mimamori bundle keygen`"
        ) from None
    if not isinstance(key, Ed25519PrivateKey):
        raise SettingsError(f"{private} is not an ed25519 key: make one with `mimamori bundle keygen`")
    name = key_name(key.public_key())
    value = base64.b64encode(key.sign(_signed(fingerprint))).decode()
    partial = bundle / f".{SIGNATURE}.partial"
    try:
        partial.write_bytes(msgspec.json.encode(Signature("ed25519", name, value)) + b"\n")
        partial.replace(bundle / SIGNATURE)
    except OSError as error:
        raise BundleError(f"cannot write {bundle / SIGNATURE}: {error.strerror}") from None
    return name


def verify(bundle: Path, fingerprint: str, public: Path) -> str:
    """Check the signature against the public key, or against each of several. Returns the key's name.

    Raises BundleError: the bundle is not signed, or not by one of these keys, or the signature is of another
    bundle. SettingsError: the file holds no ed25519 public key.
    """
    keys = {key_name(key): key for key in _public_keys(public)}
    signature = read_signature(bundle)
    if signature is None:
        raise BundleError(
            f"{bundle} is not signed, but must be signed by {', '.join(keys)} ({public}): "
            "sign it with `mimamori bundle sign`, or use a signed one"
        )
    key = keys.get(signature.key)
    if key is None:
        raise BundleError(
            f"{bundle} is signed by {signature.key}, but must be signed by {', '.join(keys)} ({public}): "
            "have it signed by that key, or trust the other"
        )
    try:
        key.verify(base64.b64decode(signature.value, validate=True), _signed(fingerprint))
    except (InvalidSignature, ValueError):
        raise BundleError(
            f"the signature of {bundle} is not of this bundle ({fingerprint}): it was altered after it was "
            "signed, or the signature belongs to another bundle; copy the bundle again"
        ) from None
    return signature.key


def read_signature(bundle: Path) -> Signature | None:
    """Read bundle.sig without verifying it; None where there is none. Raises BundleError: it is malformed."""
    path = bundle / SIGNATURE
    try:
        with path.open("rb") as file:
            found = msgspec.json.decode(file.read(_LARGEST), type=Signature)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise BundleError(f"cannot read {path}: {error.strerror}; sign the bundle again") from None
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise BundleError(f"{path} is not a signature: sign the bundle again") from None
    if found.algorithm != "ed25519" or not re.fullmatch(r"[0-9a-f]{16}", found.key):
        raise BundleError(f"{path} is not the signature of an ed25519 key: sign the bundle again")
    return found


def key_name(key: Ed25519PublicKey) -> str:
    """The name of a public key: the first 16 hex digits of the sha256 of its 32 bytes."""
    return hashlib.sha256(key.public_bytes(Encoding.Raw, PublicFormat.Raw)).hexdigest()[:16]


def _signed(fingerprint: str) -> bytes:
    return _CONTEXT + fingerprint.encode() + b"\n"


def _public_keys(path: Path) -> list[Ed25519PublicKey]:
    found = []
    for pem in _PEM.findall(_read_key(path)):
        try:
            key = load_pem_public_key(pem)
        except (ValueError, UnsupportedAlgorithm):
            key = None
        if not isinstance(key, Ed25519PublicKey):
            raise SettingsError(f"{path} holds a key that is not ed25519: give the signer's public key")
        found.append(key)
    if not found:
        raise SettingsError(f"{path} holds no public key in PEM: give the signer's, not the private one")
    return found


def _read_key(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(_LARGEST)
    except OSError as error:
        raise SettingsError(f"cannot read the key {path}: {error.strerror}") from None
