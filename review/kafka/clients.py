"""How the desk's clients get access to Kafka: aiokafka's own, and those of Faust."""

import ssl
from typing import Any

from faust.auth import Credentials, OAuthCredentials, SASLCredentials, SSLCredentials

from review.errors import DeskError
from review.kafka.tokens import Tokens
from review.settings import ENV_PREFIX, ReviewSettings
from schemas.tls_files import FileFault


def client_settings(settings: ReviewSettings) -> dict[str, Any]:
    """Where brokers are, and how to speak to them, as files say now. Raises DeskError: one is unreadable."""
    tokens = settings.sasl_mechanism == "OAUTHBEARER"
    return {
        "bootstrap_servers": settings.bootstrap,
        "client_id": settings.app_id,
        "security_protocol": settings.security_protocol,
        "ssl_context": settings.ssl_context(),
        "sasl_mechanism": settings.sasl_mechanism,
        "sasl_plain_username": settings.sasl_username,
        "sasl_plain_password": password_of(settings),
        "sasl_oauth_token_provider": Tokens(settings) if tokens else None,
    }


def faust_credentials(settings: ReviewSettings, context: ssl.SSLContext | None) -> Credentials | None:
    """The same for Faust, with this TLS context. Raises DeskError."""
    if not settings.has_sasl:
        return None if context is None else SSLCredentials(context)
    if settings.sasl_mechanism == "OAUTHBEARER":
        return OAuthCredentials(oauth_cb=Tokens(settings), ssl_context=context)
    return SASLCredentials(
        username=settings.sasl_username,
        password=password_of(settings),
        mechanism=settings.sasl_mechanism,
        ssl_context=context,
    )


def password_of(settings: ReviewSettings) -> str | None:
    """The password as it is now. Raises DeskError: its file cannot be read."""
    try:
        return settings.sasl_secret()
    except FileFault as fault:
        raise DeskError(fault.line(ENV_PREFIX)) from None
