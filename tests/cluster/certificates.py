"""The certificates of a control plane, which the sandbox's authority issues: files for its programs."""

from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from mimamori.sandbox.certificates import Authority
from mimamori.sandbox.server import HOST

_SERVERS = ("localhost", "kubernetes.default.svc", HOST, "10.96.0.1")


class Certificates:
    """A folder with `ca.crt`, with NAME.crt and NAME.key of each, and with the key of service accounts."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        self.folder = folder
        self._authority = Authority.make("mimamori-tests")
        self.path("ca.crt").write_bytes(self._authority.pem)
        # The API server takes the public half of a private key in this form alone.
        key = ec.generate_private_key(ec.SECP256R1())
        pem = key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
        self.path("service-accounts.key").write_bytes(pem)

    def path(self, name: str) -> Path:
        """Where a file of this name lies, such as ca.crt."""
        return self.folder / name

    def sign(self, name: str, organization: str = "") -> None:
        """Write a certificate: of a server on loopback, and of a user of this name and group."""
        issued = self._authority.issue(name, hosts=_SERVERS, organization=organization)
        issued.write(self.path(f"{name}.crt"), self.path(f"{name}.key"))
