"""An authority of the sandbox's own, and the certificates that it issues to its broker and to clients."""

import ipaddress
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, Self

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

LASTS: Final = timedelta(days=30)
_HOUR: Final = timedelta(hours=1)


class Issued(msgspec.Struct, frozen=True):
    """A certificate and its private key, both as PEM."""

    certificate: bytes
    key: bytes

    def write(self, certificate: Path, key: Path) -> None:
        """Write both; the key is for its owner alone to read. One file may take both."""
        key.touch(mode=0o600)
        key.write_bytes(self.key)
        if certificate == key:
            key.write_bytes(self.key + self.certificate)
        else:
            certificate.write_bytes(self.certificate)


class Authority:
    """Issues certificates. Its key lives in memory alone, as long as this process."""

    def __init__(self, key: ec.EllipticCurvePrivateKey, certificate: x509.Certificate) -> None:
        """See `make`."""
        self._key = key
        self._certificate = certificate

    @classmethod
    def make(cls, name: str = "Mimamori's sandbox") -> Self:
        """A new authority, with a new key."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = _name(name)
        usage = x509.KeyUsage(
            digital_signature=True,
            content_commitment=False,
            key_encipherment=False,
            data_encipherment=False,
            key_agreement=False,
            key_cert_sign=True,
            crl_sign=True,
            encipher_only=False,
            decipher_only=False,
        )
        certificate = (
            _begun(subject, subject, key, LASTS)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(usage, critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .sign(key, SHA256())
        )
        return cls(key, certificate)

    @property
    def pem(self) -> bytes:
        """Its certificate, which those trust who trust what it has issued."""
        return self._certificate.public_bytes(Encoding.PEM)

    def issue(
        self,
        name: str,
        *,
        hosts: Sequence[str] = (),
        organization: str = "",
        lasts: timedelta = LASTS,
        passphrase: bytes = b"",
    ) -> Issued:
        """A certificate for `CN=name`, of an organization if one is named, and for these hosts.

        It is valid from an hour ago, or from an hour before it ends: with a negative `lasts` it has expired.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        both = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
        own = self._key.public_key()
        begun = (
            _begun(_name(name, organization), self._certificate.subject, key, lasts)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.ExtendedKeyUsage(both), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(own), critical=False)
        )
        if hosts:
            begun = begun.add_extension(x509.SubjectAlternativeName(list(map(_host, hosts))), critical=False)
        certificate = begun.sign(self._key, SHA256()).public_bytes(Encoding.PEM)
        sealed = BestAvailableEncryption(passphrase) if passphrase else NoEncryption()
        return Issued(certificate, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, sealed))


def _begun(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, lasts: timedelta
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(min(now, now + lasts) - _HOUR)
        .not_valid_after(now + lasts)
    )


def _name(name: str, organization: str = "") -> x509.Name:
    parts = [x509.NameAttribute(NameOID.COMMON_NAME, name)]
    if organization:
        parts.append(x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization))
    return x509.Name(parts)


def _host(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)
