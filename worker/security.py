"""Checks how Kafka and Redis are reached: refuses settings that leak credentials or trust any server.

Each of these is refused unless MIMAMORI_ALLOW_INSECURE names it:

    plaintext_kafka   what people write in plain text, to and from brokers on another machine
    sasl_plaintext    the same with a login: its credentials, too
    unverified_broker TLS to brokers whose certificate or host name is not checked
    foreign_code      client settings that load a library or run a command
    plaintext_redis   a password for Redis in plain text, to another machine
    unverified_redis  TLS to a Redis whose certificate or host name is not checked
    plaintext_registry  a schema registry on another machine without TLS

A credential that the protocol does not use is always refused, since whoever set it expected it to be used.
Only the settings are checked, without a connection: TLS verifies later that the brokers are the right ones.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final, Literal, NamedTuple
from urllib.parse import parse_qs, unquote, urlsplit

from schemas.access import only_here

Insecure = Literal[
    "plaintext_kafka",
    "sasl_plaintext",
    "unverified_broker",
    "foreign_code",
    "plaintext_redis",
    "unverified_redis",
    "plaintext_registry",
]

_FOREIGN_CODE: Final = (
    "plugin.library.paths",
    "ssl.engine.location",
    "ssl.providers",
    "sasl.kerberos.kinit.cmd",
)
_TRUE: Final = {"true", "t", "1", "yes", "y", "on"}


class Fault(NamedTuple):
    """What is wrong, in one line with its remedy. `name` is what allows it; None: nothing does."""

    name: Insecure | None
    line: str


def refusals(
    bootstrap: str, kafka: Mapping[str, Any], redis_url: str, allowed: frozenset[Insecure]
) -> list[str]:
    """A line for each fault that is not allowed. No line quotes a value."""
    faults = [*_kafka_faults(bootstrap, kafka), *_redis_faults(redis_url)]
    return [
        f"{fault.line}; or, where that is meant, name {fault.name} in MIMAMORI_ALLOW_INSECURE"
        if fault.name
        else fault.line
        for fault in faults
        if fault.name not in allowed
    ]


def describe_kafka(kafka: Mapping[str, Any]) -> str:
    """Describe what protects the connection to the brokers, and how the client authenticates."""
    protocol = _protocol(kafka)
    if not protocol.endswith("ssl"):
        channel = "plain text"
    elif not _verified(kafka):
        channel = "TLS, the certificate NOT verified"
    elif not _host_verified(kafka):
        channel = "TLS, certificate verified, its host name NOT"
    else:
        channel = "TLS, certificate verified"
    if protocol.startswith("sasl"):
        mechanism = kafka.get("sasl.mechanism", kafka.get("sasl.mechanisms", "GSSAPI"))
        user = kafka.get("sasl.username", kafka.get("sasl.oauthbearer.client.id"))
        return f"{channel}, SASL {mechanism}" + (f" as {user}" if user else "")
    if protocol == "ssl" and any(
        key in kafka for key in ("ssl.certificate.location", "ssl.keystore.location")
    ):
        return f"{channel}, with a certificate of its own"
    return f"{channel}, no credentials"


def describe_redis(url: str) -> str:
    """Describe what protects the connection to Redis, and whether a password is sent."""
    redis = _Redis.of(url)
    if redis.scheme == "unix":
        channel = "a socket of this machine"
    elif not redis.tls:
        channel = "plain text"
    else:
        channel = "TLS, certificate verified" if redis.verified else "TLS, the certificate NOT verified"
    user = f" of user {redis.user}" if redis.user else ""
    return f"{channel}, {'with a password' + user if redis.password else 'no credentials'}"


def _kafka_faults(bootstrap: str, kafka: Mapping[str, Any]) -> Iterator[Fault]:
    protocol, contradicts = _protocol(kafka), False
    for prefix, has, remedy in (
        ("sasl.", protocol.startswith("sasl"), "SASL_SSL"),
        ("ssl.", protocol.endswith("ssl"), "SSL or SASL_SSL"),
    ):
        unused = sorted(key for key in kafka if key.startswith(prefix) and key not in _FOREIGN_CODE)
        if unused and not has:
            contradicts = True
            yield Fault(
                None,
                f"MIMAMORI_KAFKA sets {', '.join(unused)}, but its security.protocol is {protocol.upper()}, "
                "which does not use them: everything would travel in plain text. Set security.protocol to "
                f"{remedy}",
            )
    if protocol == "plaintext" and not contradicts and not only_here(bootstrap):
        yield Fault(
            "plaintext_kafka",
            "MIMAMORI_SECURITY_PROTOCOL is PLAINTEXT: anyone on the network path to MIMAMORI_BOOTSTRAP can "
            "read what people write. Set it to SASL_SSL or SSL",
        )
    if protocol == "sasl_plaintext" and not only_here(bootstrap):
        yield Fault(
            "sasl_plaintext",
            "MIMAMORI_KAFKA sets security.protocol to SASL_PLAINTEXT: anyone on the network path "
            "to MIMAMORI_BOOTSTRAP can read messages and take the credentials. Set it to SASL_SSL",
        )
    if protocol.endswith("ssl"):
        off = "enable.ssl.certificate.verification" if not _verified(kafka) else ""
        off = off or ("" if _host_verified(kafka) else "ssl.endpoint.identification.algorithm")
        if off:
            yield Fault(
                "unverified_broker",
                f"MIMAMORI_KAFKA switches {off} off: anyone could pass for a broker. Leave it out, and name "
                "the brokers' authority with ssl.ca.location",
            )
    if loads := sorted(key for key in _FOREIGN_CODE if kafka.get(key)):
        yield Fault(
            "foreign_code",
            f"MIMAMORI_KAFKA sets {', '.join(loads)}, which runs code that is not Mimamori's. Leave it out",
        )


def _redis_faults(url: str) -> Iterator[Fault]:
    redis = _Redis.of(url)
    if redis.password and not redis.tls and redis.scheme != "unix" and not only_here(redis.hosts):
        yield Fault(
            "plaintext_redis",
            "MIMAMORI_REDIS_URL sends its password in plain text: use rediss:// in place of redis://",
        )
    if redis.tls and not redis.verified:
        yield Fault(
            "unverified_redis",
            "MIMAMORI_REDIS_URL switches ssl_cert_reqs or ssl_check_hostname off: anyone could pass for the "
            "Redis. Leave them out, and name its authority with MIMAMORI_REDIS_CA",
        )


class _Redis(NamedTuple):
    """How a Redis URL says to connect. `redis_client` checks whether the URL is valid."""

    scheme: str
    tls: bool
    verified: bool
    user: str
    password: bool
    hosts: str

    @classmethod
    def of(cls, url: str) -> "_Redis":
        scheme, _, rest = url.partition("://")
        netloc = rest.split("/")[0].split("?")[0].split("#")[0]
        users, _, hosts = netloc.rpartition("@")
        user, _, password = users.partition(":")
        # The hosts are taken out first, since they may be a list.
        options = parse_qs(urlsplit(f"x://hosts{rest.removeprefix(netloc)}").query, keep_blank_values=True)
        last = {name: values[-1] for name, values in options.items()}
        verified = last.get("ssl_cert_reqs", "required").lower() == "required"
        verified = verified and last.get("ssl_check_hostname", "true").lower() in _TRUE
        secrets = password or last.get("password") or last.get("sentinel_password")
        scheme = scheme.lower()
        return cls(scheme, scheme.startswith("rediss"), verified, unquote(user), bool(secrets), hosts)


def _protocol(kafka: Mapping[str, Any]) -> str:
    return str(kafka.get("security.protocol", "plaintext")).lower()


def _verified(kafka: Mapping[str, Any]) -> bool:
    return str(kafka.get("enable.ssl.certificate.verification", True)).lower() in _TRUE


def _host_verified(kafka: Mapping[str, Any]) -> bool:
    return str(kafka.get("ssl.endpoint.identification.algorithm", "https")).lower() == "https"
