"""The settings that say where spans go. Worker and desk have them under their own prefixes."""

from typing import Self

from pydantic import Field, FilePath, SecretStr, model_validator
from pydantic_settings import BaseSettings

from tracing.destination import Destination, destination


class TraceSettings(BaseSettings):
    """Where spans are sent, and how."""

    traces_endpoint: str = Field(
        default="",
        description="Where spans are sent: an OpenTelemetry collector's address for OTLP over HTTP, such as "
        "http://collector:4318. Empty: nowhere; a message's traceparent goes on all the same.",
    )
    traces_headers: SecretStr = Field(
        default=SecretStr(""),
        description="Headers to send spans with, name=value, comma-separated: the collector's token.",
    )
    traces_ca: FilePath | None = Field(
        default=None,
        description="PEM file of the authorities to trust for a collector with https, in place of the usual.",
    )

    @property
    def spans_to(self) -> Destination | None:
        """The collector that spans are sent to; None where there is none. Raises ValueError: see there."""
        return destination(self.traces_endpoint, self.traces_headers.get_secret_value(), self.traces_ca)

    @model_validator(mode="after")
    def _names_a_collector(self) -> Self:
        prefix = self.model_config.get("env_prefix", "")
        try:
            _ = self.spans_to
        except ValueError as error:
            raise ValueError(str(error).replace("TRACES_", f"{prefix}TRACES_")) from None
        return self
