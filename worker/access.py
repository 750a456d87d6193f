"""The settings of access to Kafka, in librdkafka's names."""

from typing import Any

from schemas.access import KafkaAccess


def options_of(access: KafkaAccess) -> dict[str, Any]:
    """The client options for these settings; none where Kafka is spoken to in plain text and without a login.

    Raises FileFault: a file with a secret cannot be read.
    """
    options: dict[str, Any] = {}
    if access.has_sasl:
        options |= _login(access)
    if access.has_tls:
        files = access.tls_files()
        options |= {
            "ssl.ca.location": files.ca and str(files.ca),
            "ssl.certificate.location": files.certificate and str(files.certificate),
            "ssl.key.location": files.key and str(files.key),
            "ssl.key.password": files.key_password,
        }
    said = {name: value for name, value in options.items() if value is not None}
    return {"security.protocol": access.security_protocol, **said} if said or access.has_tls else {}


def _login(access: KafkaAccess) -> dict[str, Any]:
    options: dict[str, Any] = {"sasl.mechanism": access.sasl_mechanism}
    if access.sasl_mechanism != "OAUTHBEARER":
        return options | {"sasl.username": access.sasl_username, "sasl.password": access.sasl_secret()}
    if token := access.token_file():
        return options | {"oauth_cb": token}
    return options | {
        "sasl.oauthbearer.method": "oidc",
        "sasl.oauthbearer.token.endpoint.url": access.sasl_token_url,
        "sasl.oauthbearer.client.id": access.sasl_username,
        "sasl.oauthbearer.client.secret": access.sasl_secret(),
        "sasl.oauthbearer.scope": access.sasl_token_scope or None,
        "https.ca.location": access.sasl_token_ca and str(access.sasl_token_ca),
    }
