"""Certificates for a control plane that lives as long as the tests: one authority signs all of them."""

from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from mimamori.sandbox.server import HOST

_LIFE = timedelta(days=2)
_SERVERS = ("localhost", "kubernetes.default.svc", HOST, "10.96.0.1")


class Authority:
    """Signs certificates, and writes each beside its key: `folder/NAME.crt` and `folder/NAME.key`."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        self.folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _named("mimamori-tests")
        authority = x509.BasicConstraints(ca=True, path_length=None)
        usage = x509.KeyUsage(
            digital_signature=True,
            key_cert_sign=True,
            crl_sign=True,
            content_commitment=False,
            key_encipherment=False,
            data_encipherment=False,
            key_agreement=False,
            encipher_only=False,
            decipher_only=False,
        )
        built = self._builder(self._name, self._key.public_key())
        built = built.add_extension(authority, critical=True).add_extension(usage, critical=True)
        self._write("ca", self._key, built.sign(self._key, hashes.SHA256()))
        self.write_key("service-accounts", ec.generate_private_key(ec.SECP256R1()))

    def path(self, name: str) -> Path:
        """Where a file of this name lies, such as ca.crt."""
        return self.folder / name

    def sign(self, name: str, organization: str | None = None) -> None:
        """Write a certificate: of a server on loopback, or of a user of this name and group."""
        key = ec.generate_private_key(ec.SECP256R1())
        usages = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH])
        names = x509.SubjectAlternativeName(
            [x509.IPAddress(ip_address(at)) if at[0].isdigit() else x509.DNSName(at) for at in _SERVERS]
        )
        built = self._builder(_named(name, organization), key.public_key())
        built = built.add_extension(usages, critical=False).add_extension(names, critical=False)
        self._write(name, key, built.sign(self._key, hashes.SHA256()))

    def write_key(self, name: str, key: ec.EllipticCurvePrivateKey) -> None:
        """Write a private key, and no certificate."""
        encoding, kind = serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL
        self.path(f"{name}.key").write_bytes(key.private_bytes(encoding, kind, serialization.NoEncryption()))

    def _builder(self, name: x509.Name, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
        now = datetime.now(UTC)
        return x509.CertificateBuilder(
            issuer_name=self._name,
            subject_name=name,
            public_key=key,
            serial_number=x509.random_serial_number(),
            not_valid_before=now - timedelta(minutes=5),
            not_valid_after=now + _LIFE,
        )

    def _write(self, name: str, key: ec.EllipticCurvePrivateKey, certificate: x509.Certificate) -> None:
        self.path(f"{name}.crt").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        self.write_key(name, key)


def _named(name: str, organization: str | None = None) -> x509.Name:
    parts = [x509.NameAttribute(NameOID.COMMON_NAME, name)]
    if organization:
        parts.append(x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization))
    return x509.Name(parts)
