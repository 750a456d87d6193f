"""The desk's keys: signs what the desk writes, and tells what another program wrote in its name.

signing = open_signing(settings)
headers = [*event_headers(event), signing.sign(topic, key, value)]
fault = signing.fault(topic, message.key, message.value, message.headers)      None: a desk wrote it
"""

import ipaddress
import os
import stat
from pathlib import Path
from typing import Final

import msgspec
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from review.errors import DeskError
from review.settings import ReviewSettings
from schemas.signature import Fault, Pairs, TrustedKeys, key_name, sign

OWN_KEY: Final = "signing-key.pem"
OWN_PUBLIC_KEY: Final = "signing-key.pub.pem"
_LARGEST: Final = 64 << 10  # bytes of a key file
# What a user allows who publishes the desk on loopback alone, as docker-compose.yml does.
_LOCAL: Final = "local_access"


class Signing(msgspec.Struct, frozen=True):
    """The key that signs, and all keys whose signatures count; `key_id` is the name of the first."""

    key_id: str
    private: Ed25519PrivateKey
    trusted: TrustedKeys

    def sign(self, topic: str, key: bytes, value: bytes) -> tuple[str, bytes]:
        """The header, name and value, to send with this record."""
        return sign(self.private, topic, key, value)

    def fault(
        self, topic: str, key: bytes | None, value: bytes | None, headers: Pairs | None
    ) -> Fault | None:
        """What is wrong with a consumed record's signature; None where a trusted desk has signed it."""
        return self.trusted.fault(topic, key, value, headers)


def open_signing(settings: ReviewSettings, *, may_make_key: bool = True) -> Signing:
    """Read the keys, and make one on loopback where none is set. The folder must be this desk's already.

    Without `may_make_key` there must be one: what a command signs with a key of its own, no desk believes.

    Raises DeskError: no key is set and the desk listens beyond loopback, a file cannot be read or written, or
    others may read the private key.
    """
    private = _private_key(settings, may_make=may_make_key)
    own = private.public_key()
    trusted = TrustedKeys.of([own])
    if settings.trusted_keys is not None:
        try:
            trusted = TrustedKeys({**TrustedKeys.read(_read(settings.trusted_keys)).keys, **trusted.keys})
        except ValueError as error:
            raise DeskError(
                f"MIMAMORI_REVIEW_TRUSTED_KEYS: {settings.trusted_keys} is not a PEM file of Ed25519 public "
                f"keys ({error}): give it the signers' public keys"
            ) from None
    return Signing(key_name(own), private, trusted)


def _private_key(settings: ReviewSettings, *, may_make: bool) -> Ed25519PrivateKey:
    if settings.signing_key is not None:
        return _load(settings.signing_key)
    if not _loopback(settings.host) and _LOCAL not in set(settings.allow_insecure):
        raise DeskError(
            f"the desk listens on {settings.host} and has no key to sign decisions with: make one with "
            "`mimamori bundle keygen --no-passphrase --key desk.pem`, and name it in "
            "MIMAMORI_REVIEW_SIGNING_KEY"
        )
    path = settings.folder / OWN_KEY
    if not path.exists():
        if not may_make:
            raise DeskError(
                f"there is no desk's signing key at {path}: run this where the desk's settings are, or name "
                "its folder in MIMAMORI_REVIEW_FOLDER, or its key in MIMAMORI_REVIEW_SIGNING_KEY"
            )
        _make(path, settings.folder / OWN_PUBLIC_KEY)
    return _load(path)


def _make(path: Path, public: Path) -> None:
    """Write a new key pair, the private key last, so that a crash leaves none or a whole one."""
    key = Ed25519PrivateKey.generate()
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        partial.unlink(missing_ok=True)
        with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(pem)
            file.flush()
            os.fsync(file.fileno())
        public.write_bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
        partial.rename(path)
    except OSError as error:
        raise DeskError(
            f"cannot write the signing key {path}: {error.strerror}; choose another folder"
        ) from None


def _load(path: Path) -> Ed25519PrivateKey:
    pem = _read(path)
    # A mounted secret of Kubernetes may be readable by the pod's group, and by nobody else.
    if path.stat().st_mode & stat.S_IRWXO:
        raise DeskError(f"others may read the signing key {path}: chmod 600")
    try:
        key = load_pem_private_key(pem, None)
    except TypeError:
        raise DeskError(
            f"the signing key {path} has a passphrase, which the desk cannot ask for: make one with "
            "`mimamori bundle keygen --no-passphrase`"
        ) from None
    except (ValueError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, Ed25519PrivateKey):
        raise DeskError(
            f"{path} is not an Ed25519 private key in PEM: make one with "
            "`mimamori bundle keygen --no-passphrase`"
        )
    return key


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(_LARGEST)
    except OSError as error:
        raise DeskError(f"cannot read the key {path}: {error.strerror}") from None


def _loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
