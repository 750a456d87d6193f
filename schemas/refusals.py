"""Why Kafka does not let a client in, found in what TLS and SASL libraries say, and what to do about it.

librdkafka, aiokafka, OpenSSL and Kafka itself say it in their own words, which have been the same for years.
Where they do not tell, `probe` opens a connection of its own. No line here quotes a secret.
"""

import re
import socket
import ssl
from contextlib import suppress
from typing import Final, Literal

from schemas.access import KafkaAccess, host_of

Reason = Literal[
    "unknown_authority",
    "other_host",
    "out_of_date",
    "not_verified",
    "certificate_refused",
    "credentials",
    "mechanism",
    "token",
    "no_token",
    "no_tls",
    "wants_tls",
]

# The first that is found counts.
_SIGNS: Final[tuple[tuple[str, Reason], ...]] = (
    (r"failed to acquire sasl oauthbearer token|oauth token not set", "no_token"),
    (r"invalid_token", "token"),
    (
        r"unsupported sasl mechanism|mechanism handshake failed|does not support .* sasl mechanism",
        "mechanism",
    ),
    (r"sasl authentication error|authentication failed|authenticationfailed", "credentials"),
    (r"alert.*(certificate|unknown.ca)", "certificate_refused"),
    (r"unable to get (local )?issuer|self.signed|unable to verify the first", "unknown_authority"),
    (r"mismatch, certificate is not valid for|(hostname|ip address) mismatch", "other_host"),
    (r"certificate has expired|certificate is not yet valid", "out_of_date"),
    (r"certificate verify failed|certificate could not be verified", "not_verified"),
    (r"plaintext broker listener|wrong.version.number|record.layer.failure|unexpected.eof", "no_tls"),
)
_LINES: Final[dict[Reason, str]] = {
    "unknown_authority": "{at} shows a certificate of an authority that this client does not know: name the "
    "file with the brokers' authority in {p}SSL_CA",
    "other_host": "{at} shows a certificate for another host name: write into {p}BOOTSTRAP, and into the "
    "brokers' advertised.listeners, a name that it is issued for",
    "out_of_date": "{at} shows a certificate that has expired or is not valid yet: have it renewed, and look "
    "at this machine's clock",
    "not_verified": "{at} shows a certificate that does not hold: its authority must be in {p}SSL_CA, and it "
    "must be for this host name and not have expired",
    "certificate_refused": "{at} refuses this client's certificate: {p}SSL_CERTIFICATE must be issued by an "
    "authority that the brokers trust, and must not have expired",
    "credentials": "{at} does not know the user {user} with this password: check {p}SASL_USERNAME, and "
    "{p}SASL_PASSWORD or the file that {p}SASL_PASSWORD_FILE names",
    "mechanism": "{at} does not let clients log in by {mechanism}: set {p}SASL_MECHANISM to one that it does",
    "token": "{at} refuses the token of this client: who issued it, for whom and until when must be what the "
    "brokers expect (sasl.oauthbearer.expected.issuer and .audience)",
    "no_token": "no token could be had to log in to Kafka: check {p}SASL_TOKEN_FILE, or {p}SASL_TOKEN_URL "
    "with the client's id and secret",
    "no_tls": "{at} does not seem to speak TLS: set {p}BOOTSTRAP to a listener that does",
    "wants_tls": "{at} speaks TLS: set {p}SECURITY_PROTOCOL to SSL or SASL_SSL",
}
_PATIENCE_S: Final = 3.0
_ALERT_S: Final = 1.0  # how long to wait for what a broker says after the handshake: with TLS 1.3, a refusal


def reason_of(said: str) -> Reason | None:
    """What a library's words mean; None where they are about something else, as of a broker that is down."""
    said = said.lower().replace("_", " ") if "invalid_token" not in said else said
    return next((reason for sign, reason in _SIGNS if re.search(sign, said)), None)


def line_of(reason: Reason, prefix: str, server: str, *, user: str | None = None, mechanism: str = "") -> str:
    """One line: what is wrong, and which setting with this prefix to change."""
    at = f"Kafka at {server}" if server else "Kafka"
    return _LINES[reason].format(at=at, p=prefix, user=user or "?", mechanism=mechanism or "this mechanism")


def line_for(reason: Reason, access: KafkaAccess, prefix: str, server: str) -> str:
    """The line for a client with these settings."""
    return line_of(reason, prefix, server, user=access.sasl_username, mechanism=access.sasl_mechanism)


def probe(servers: str, context: ssl.SSLContext | None) -> tuple[str, Reason] | None:
    """Connect to each server, host:port, and return the first that refuses, and why; None: that is not TLS.

    `context` is the client's; None where it speaks no TLS. It waits for seconds where servers do not answer.
    """
    for server in servers.split(","):
        host, port = host_of(server), server.rpartition(":")[2]
        try:
            with socket.create_connection((host, int(port)), timeout=_PATIENCE_S) as connection:
                reason = _wants_tls(connection) if context is None else _shake(connection, context, host)
        except (OSError, ValueError):
            continue
        if reason is not None:
            return server.strip(), reason
    return None


def _shake(connection: socket.socket, context: ssl.SSLContext, host: str) -> Reason | None:
    try:
        with context.wrap_socket(connection, server_hostname=host) as encrypted:
            encrypted.settimeout(_ALERT_S)
            with suppress(TimeoutError):
                encrypted.recv(1)
    except ssl.SSLError as error:  # its text is in OpenSSL's words
        return reason_of(str(error))
    except ConnectionError:  # hung up, as on something that it does not understand
        return "no_tls"
    return None


def _wants_tls(connection: socket.socket) -> Reason | None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = (
        False,
        ssl.CERT_NONE,
    )  # only asked whether it speaks TLS at all
    try:
        context.wrap_socket(connection, do_handshake_on_connect=True).close()
    except OSError as error:  # ssl.SSLError is one
        return "wants_tls" if reason_of(str(error)) == "certificate_refused" else None
    return "wants_tls"
