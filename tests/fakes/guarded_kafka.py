"""Users of a real Kafka with ACLs who have exactly the rights of a part of Mimamori, or all but one.

They come in by the way that KAFKA_ACCESS names: `make test-access` passes the tests by each of them.
"""

import gc
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal, cast, get_args

import msgspec
from joserfc import jwk, jwt

from mimamori.sandbox import Sandbox
from mimamori.sandbox.encrypted import AUDIENCE, ISSUER
from review.kafka.clients import client_settings
from review.settings import ReviewSettings
from schemas.rights import PARTS, Names, Part, Right, rights_of
from worker.kafka.acls import admit
from worker.settings import Settings

PASSWORD = "only-for-this-test"  # noqa: S105 - its Kafka lives for a minute, on loopback

NOTHING = Right("topic", "", "Read")

# By a password in plain text, by one over TLS, by a certificate, or by a token over TLS.
Way = Literal["plain", "scram", "mutual", "token"]
WAY = cast("Way", os.environ.get("KAFKA_ACCESS", "scram"))
assert WAY in get_args(Way), f"KAFKA_ACCESS is one of {', '.join(get_args(Way))}"


class User(msgspec.Struct, frozen=True):
    """A user who has the rights of `part`, all but `lacking` where that is named. Its names are its own."""

    name: str
    part: Part
    lacking: Right = NOTHING

    @property
    def names(self) -> Names:
        """Group and transactional id of its own, so that users never wait for one another's partitions."""
        return Names(group=self.name, transactional_id=f"{self.name}-", platform_group=self.name)

    @property
    def granted(self) -> tuple[Right, ...]:
        """What it may do."""
        return tuple(right for right in rights_of(self.part, self.names) if right != self.lacking)

    def login(self, sandbox: Sandbox, way: Way = WAY) -> dict[str, Any]:
        """The settings, of worker and desk alike, with which this user gets access."""
        if way == "plain":
            plain = {"bootstrap": sandbox.bootstrap, "security_protocol": "SASL_PLAINTEXT"}
            return plain | self._password()
        tls: dict[str, Any] = {"ssl_ca": sandbox.encrypted.ca}
        if way == "mutual":
            pems = self._file(sandbox, "crt"), self._file(sandbox, "key")
            if not pems[0].exists():
                sandbox.encrypted.authority.issue(self.name).write(*pems)
            own = {"ssl_certificate": pems[0], "ssl_key": pems[1], "security_protocol": "SSL"}
            return tls | own | {"bootstrap": sandbox.encrypted.mutual}
        tls |= {"bootstrap": sandbox.encrypted.sasl, "security_protocol": "SASL_SSL"}
        if way == "scram":
            return tls | self._password()
        token = self._file(sandbox, "token")
        token.write_text(token_for(self.name))
        return tls | {"sasl_mechanism": "OAUTHBEARER", "sasl_token_file": token}

    def config(self, sandbox: Sandbox) -> dict[str, Any]:
        """The same in librdkafka's names."""
        return Settings(**self.login(sandbox)).client_config

    def aiokafka(self, sandbox: Sandbox) -> dict[str, Any]:
        """The same in aiokafka's."""
        return client_settings(ReviewSettings(**self.login(sandbox)))

    def _password(self) -> dict[str, Any]:
        return {"sasl_mechanism": "SCRAM-SHA-512", "sasl_username": self.name, "sasl_password": PASSWORD}

    def _file(self, sandbox: Sandbox, kind: str) -> Path:
        return sandbox.folder / f"{self.name}.{kind}"


@cache
def _signer() -> jwk.RSAKey:
    return jwk.RSAKey.generate_key(2048, {"kid": "one"})


def token_for(user: str, **claims: Any) -> str:
    """A token as an identity provider issues it, but for these claims."""
    now = int(time.time())
    content = {"iss": ISSUER, "aud": AUDIENCE, "sub": user, "iat": now, "exp": now + 600} | claims
    return jwt.encode({"alg": "RS256", "kid": "one"}, content, _signer())


@contextmanager
def guarded_kafka() -> Iterator[Sandbox]:
    """A Kafka with ACLs, which every such user of every part may enter by every way."""
    with TemporaryDirectory() as folder:
        keys = Path(folder) / "jwks.json"
        keys.write_text(json.dumps({"keys": [_signer().as_dict(private=False)]}))
        with Sandbox(redis=False, secured=True, keys=keys) as sandbox:
            admit_all(sandbox)
            yield sandbox
            # Clients whose callbacks refer to them live until they are collected, and go on asking for a
            # Kafka that has ended: after the tests of rights there were 45 of them, with 185 threads.
            gc.collect()


def whole(part: Part) -> User:
    """A user with exactly the rights of a part."""
    return User(f"whole-{part}", part)


def without_each(part: Part) -> list[User]:
    """For each right of a part, a user who lacks it and has all others."""
    count = len(rights_of(part))
    users = [User(f"{part}-{number}", part) for number in range(count)]
    return [
        msgspec.structs.replace(user, lacking=rights_of(part, user.names)[number])
        for number, user in enumerate(users)
    ]


def admit_all(sandbox: Sandbox) -> None:
    """Make every such user of every part."""
    users = [user for part in PARTS for user in (whole(part), *without_each(part))]
    admit(
        sandbox.admin_config,
        {user.name: PASSWORD for user in users},
        {user.name: user.granted for user in users},
    )
