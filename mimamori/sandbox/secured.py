"""A sandbox's Kafka as a production cluster guards itself: clients log in, and may do only what ACLs grant.

Clients log in by SASL SCRAM-SHA-512, in plain text, since everything stays on this machine; `encrypted.py`
has the listeners with TLS. There is one administrator, whom no ACL binds and who also is the broker itself;
it logs in by SASL PLAIN. `worker.kafka.acls` makes the users and grants them their rights.
"""

from typing import Any, Final, Self

import msgspec

from mimamori.sandbox.encrypted import Encrypted
from mimamori.sandbox.kafka_wire import User

ADMIN: Final = "admin"
MECHANISM: Final = "SCRAM-SHA-512"

_PROPERTIES: Final = """
listener.name.clients.sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-512
listener.name.controller.sasl.enabled.mechanisms=PLAIN
sasl.mechanism.inter.broker.protocol=PLAIN
sasl.mechanism.controller.protocol=PLAIN
listener.name.clients.plain.sasl.jaas.config={plain}
listener.name.clients.scram-sha-512.sasl.jaas.config={scram}
listener.name.controller.plain.sasl.jaas.config={plain}
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:{name}
allow.everyone.if.no.acl.found=false
"""
_SCRAM: Final = "org.apache.kafka.common.security.scram.ScramLoginModule required;"
_PLAIN: Final = (
    "org.apache.kafka.common.security.plain.PlainLoginModule required "
    'username="{name}" password="{password}" user_{name}="{password}";'
)


class Secured(msgspec.Struct, frozen=True):
    """The administrator of a secured Kafka, and what its settings say in addition."""

    admin: User
    protocol: str = "SASL_PLAINTEXT"

    @classmethod
    def by(cls, password: str) -> Self:
        """With this password for the administrator: letters and digits, since it stands between quotes."""
        return cls(User(ADMIN, password))

    def properties(self, encrypted: Encrypted | None = None) -> str:
        """The lines for server.properties."""
        plain = _PLAIN.format(name=self.admin.name, password=self.admin.password)
        said = _PROPERTIES.format(plain=plain, scram=_SCRAM, name=self.admin.name)
        return said + encrypted.properties(plain, _SCRAM) if encrypted else said

    @property
    def admin_config(self) -> dict[str, Any]:
        """The administrator's login, in librdkafka's names."""
        return {
            "security.protocol": self.protocol,
            "sasl.mechanism": "PLAIN",
            "sasl.username": self.admin.name,
            "sasl.password": self.admin.password,
        }


def login(user: str, password: str) -> dict[str, Any]:
    """A client's login, in librdkafka's names."""
    return {
        "security.protocol": "SASL_PLAINTEXT",
        "sasl.mechanism": MECHANISM,
        "sasl.username": user,
        "sasl.password": password,
    }
