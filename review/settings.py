"""The desk's settings: environment variables that start with MIMAMORI_REVIEW_, checked once at start.

Whether the cluster agrees with them is checked by `review.kafka.cluster`.
"""

import ipaddress
import os
import ssl
from pathlib import Path
from typing import Annotated, Final, Literal, Self

from pydantic import Field, ValidationError, field_validator, model_validator
from pydantic_settings import NoDecode, SettingsConfigDict

from review.errors import DeskError
from review.settings_access import AccessSettings
from review.settings_cases import CaseSettings
from review.settings_hooks import HookSettings
from review.settings_page import PageSettings
from review.settings_queue import QueueSettings
from review.settings_retention import RetentionSettings
from review.settings_signing import SigningSettings
from schemas.access import TOPIC_LETTERS, KafkaAccess
from schemas.tls_files import FileFault
from tracing.settings import TraceSettings

ENV_PREFIX = "MIMAMORI_REVIEW_"
LONGEST_S: Final = 10 * 366 * 86_400.0
_UNITS: Final = {"seconds": 1.0, "minutes": 60.0, "hours": 3600.0, "days": 86_400.0}
Insecure = Literal["plaintext_kafka", "sasl_plaintext", "local_access"]


class ReviewSettings(
    KafkaAccess,
    AccessSettings,
    CaseSettings,
    HookSettings,
    PageSettings,
    QueueSettings,
    RetentionSettings,
    SigningSettings,
    TraceSettings,
):
    """All settings of the desk. A duration is in the unit that its name ends with."""

    model_config = SettingsConfigDict(env_prefix=ENV_PREFIX, extra="forbid", frozen=True)

    bootstrap: str = Field(default="127.0.0.1:9092", min_length=1, description="Kafka brokers: host:port, …")
    topic_prefix: str = Field(
        default="mimamori.",
        pattern=TOPIC_LETTERS,
        description="Prefix of the names of every topic and the group",
    )

    folder: Path = Field(
        default=Path("review-data"),
        description="Folder that keeps the table between runs; one desk per folder",
    )
    store: Literal["rocksdict", "memory"] = Field(
        default="rocksdict",
        description="memory needs no folder, and reads the whole changelog at every start",
    )
    replication_factor: int | None = Field(
        default=None,
        ge=1,
        description="Replicas of the table's changelog topic; unless set, 3 or as many as there are brokers",
    )

    allow_insecure: Annotated[frozenset[Insecure], NoDecode] = Field(
        default=frozenset(),
        description="Names of insecure settings to allow; see docs/how-to/secure-the-connections.md",
    )

    connect_seconds: float = Field(default=10, gt=0, description="How long to try to reach Kafka at start")
    confirm_seconds: float = Field(default=10, gt=0, description="How long a decision waits for Kafka")
    log_format: Literal["json", "console"] = Field(
        default="json", description="json: one object a line, for a log store. console: for a person to read"
    )
    shutdown_seconds: float = Field(default=8, gt=0, description="Hard deadline after SIGTERM")

    @field_validator("allow_insecure", mode="before")
    @classmethod
    def _names(cls, value: object) -> object:
        return (
            [name.strip() for name in value.split(",") if name.strip()] if isinstance(value, str) else value
        )

    @model_validator(mode="after")
    def _durations_end(self) -> Self:
        for name, value in self:
            unit = _UNITS.get(name.rpartition("_")[2])
            if unit and isinstance(value, float) and not value * unit <= LONGEST_S:
                raise ValueError(f"{ENV_PREFIX}{name.upper()} must be at most ten years")
        return self

    @model_validator(mode="after")
    def _access_is_closed(self) -> Self:
        self.check_access(local_beyond_loopback="local_access" in self.allow_insecure)
        return self

    @model_validator(mode="after")
    def _kafka_is_reached_safely(self) -> Self:
        self.check_kafka_access(self.bootstrap, plain_text_allowed="sasl_plaintext" in self.allow_insecure)
        self.check_texts(self.bootstrap, plain_text_allowed="plaintext_kafka" in self.allow_insecure)
        return self

    @property
    def cases_topic(self) -> str:
        """The topic that review cases come from."""
        return f"{self.topic_prefix}review-cases"

    @property
    def decisions_topic(self) -> str:
        """The topic that decisions are written to, and come back from."""
        return f"{self.topic_prefix}review-decisions"

    @property
    def events_topic(self) -> str:
        """The topic of the steps in the lives of cases, which only desks write and read."""
        return f"{self.topic_prefix}case-events"

    @property
    def webhooks_topic(self) -> str:
        """The topic that remembers which webhooks were told."""
        return f"{self.topic_prefix}review-webhooks"

    @property
    def subjects_topic(self) -> str:
        """The topic by which desks count the cases of one author or conversation; for desks only."""
        return f"{self.topic_prefix}case-subjects"

    @property
    def app_id(self) -> str:
        """The consumer group, which is also the first part of the changelog topic's name."""
        return f"{self.topic_prefix}review"

    @property
    def changelog_topic(self) -> str:
        """The topic that keeps the table, by the name that Faust gives it."""
        return f"{self.app_id}-cases-changelog"

    @property
    def on_loopback(self) -> bool:
        """Whether the desk can be reached from this machine alone."""
        try:
            return self.host == "localhost" or ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    @property
    def audit_topic(self) -> str:
        """The topic of who saw and did what."""
        return f"{self.topic_prefix}review-audit"

    def ssl_context(self) -> ssl.SSLContext | None:
        """The TLS settings, None where the protocol has no TLS. Raises DeskError: unreadable files."""
        try:
            return self.tls_files().context() if self.has_tls else None
        except FileFault as fault:
            raise DeskError(fault.line(ENV_PREFIX)) from None


def load_settings() -> ReviewSettings:
    """Read the environment. Raises DeskError naming each wrong or unknown variable, never its value."""
    known = {ENV_PREFIX + name.upper() for name in ReviewSettings.model_fields}
    if unknown := sorted(
        name for name in os.environ if name.upper().startswith(ENV_PREFIX) and name.upper() not in known
    ):
        raise DeskError(f"no such setting: {', '.join(unknown)}; docs/reference/settings.md lists them")
    try:
        return ReviewSettings()
    except ValidationError as error:
        faults = (
            f"{ENV_PREFIX}{'_'.join(map(str, fault['loc'])).upper()}: {fault['msg']}"
            if fault["loc"]
            else fault["msg"].removeprefix("Value error, ")
            for fault in error.errors(include_input=False, include_url=False)
        )
        raise DeskError("; ".join(faults)) from None
