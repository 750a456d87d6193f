"""The settings of aiokafka's own clients, beside those of Faust."""

from typing import Any

from review.settings import ReviewSettings


def client_settings(settings: ReviewSettings) -> dict[str, Any]:
    """Where the brokers are, and how to speak to them. Raises DeskError: unreadable TLS files."""
    password = settings.sasl_password
    return {
        "bootstrap_servers": settings.bootstrap,
        "client_id": settings.app_id,
        "security_protocol": settings.security_protocol,
        "ssl_context": settings.ssl_context(),
        "sasl_mechanism": settings.sasl_mechanism,
        "sasl_plain_username": settings.sasl_username,
        "sasl_plain_password": password.get_secret_value() if password else None,
    }
