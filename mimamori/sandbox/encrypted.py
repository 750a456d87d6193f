"""The listeners of a secured Kafka that speak TLS, beside the one in plain text, all with the same users.

sasl      SASL_SSL: clients log in by SCRAM-SHA-512 or PLAIN, or by OAUTHBEARER where `keys` is given
mutual    SSL: clients show a certificate of the same authority, and their name is what its CN says
"""

from pathlib import Path
from typing import Final, Self

import msgspec

from mimamori.sandbox.certificates import Authority
from mimamori.sandbox.server import HOST, choose_port

AUDIENCE: Final = "kafka"
ISSUER: Final = "https://identity.sandbox.example"

_PROPERTIES: Final = """
ssl.keystore.type=PEM
ssl.keystore.location={server}
ssl.truststore.type=PEM
ssl.truststore.location={ca}
listener.name.mutual.ssl.client.auth=required
listener.name.mutual.ssl.principal.mapping.rules=RULE:^CN=([^,]+).*$/$1/,DEFAULT
listener.name.encrypted.sasl.enabled.mechanisms={mechanisms}
listener.name.encrypted.plain.sasl.jaas.config={plain}
listener.name.encrypted.scram-sha-512.sasl.jaas.config={scram}
"""
_TOKENS: Final = """
listener.name.encrypted.oauthbearer.sasl.jaas.config=\
org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required;
listener.name.encrypted.oauthbearer.sasl.server.callback.handler.class=\
org.apache.kafka.common.security.oauthbearer.OAuthBearerValidatorCallbackHandler
listener.name.encrypted.oauthbearer.sasl.oauthbearer.jwks.endpoint.url={keys}
listener.name.encrypted.oauthbearer.sasl.oauthbearer.expected.audience={audience}
listener.name.encrypted.oauthbearer.sasl.oauthbearer.expected.issuer={issuer}
"""


class Encrypted(msgspec.Struct, frozen=True):
    """Where one broker listens with TLS, and what it shows and trusts."""

    authority: Authority
    folder: Path
    sasl_port: int
    mutual_port: int
    keys: Path | None = None  # a JWKS: who signs tokens

    @classmethod
    def make(cls, folder: Path, keys: Path | None) -> Self:
        """A new authority, and free ports; its files come to `folder`. Raises SandboxError: no free port."""
        ports: set[int] = set()
        while len(ports) < 2:  # noqa: PLR2004 - the two listeners
            ports.add(choose_port(0, "--kafka-port"))
        sasl, mutual = ports
        return cls(Authority.make(), folder, sasl, mutual, keys)

    @property
    def ca(self) -> Path:
        """The PEM file by which clients know the broker."""
        return self.folder / "ca.pem"

    @property
    def sasl(self) -> str:
        """`host:port` of the listener for SASL_SSL."""
        return f"{HOST}:{self.sasl_port}"

    @property
    def mutual(self) -> str:
        """`host:port` of the listener for clients with certificates."""
        return f"{HOST}:{self.mutual_port}"

    @property
    def listeners(self) -> dict[str, tuple[int, str]]:
        """Port and protocol of each listener, by its name."""
        return {"ENCRYPTED": (self.sasl_port, "SASL_SSL"), "MUTUAL": (self.mutual_port, "SSL")}

    @property
    def options(self) -> list[str]:
        """What Java is told: from where alone Kafka may take keys."""
        allowed = "-Dorg.apache.kafka.sasl.oauthbearer.allowed.urls="
        return [allowed + self.keys.as_uri()] if self.keys else []

    def write(self) -> None:
        """Write the files of the broker."""
        self.ca.write_bytes(self.authority.pem)
        server = self.folder / "server.pem"
        self.authority.issue("broker", hosts=[HOST, "localhost"]).write(server, server)

    def properties(self, plain: str, scram: str) -> str:
        """The lines for server.properties, with the two logins of the broker itself."""
        mechanisms = "PLAIN,SCRAM-SHA-512" + (",OAUTHBEARER" if self.keys else "")
        said = _PROPERTIES.format(
            server=self.folder / "server.pem", ca=self.ca, mechanisms=mechanisms, plain=plain, scram=scram
        )
        if self.keys:
            said += _TOKENS.format(keys=self.keys.as_uri(), audience=AUDIENCE, issuer=ISSUER)
        return said
