"""Defines every setting of the worker, with its type and limits. `settings_source.py` reads and checks them.

The environment (`MIMAMORI_…`) overrides a YAML file that `MIMAMORI_SETTINGS` names. An unknown or misspelt
setting in either is an error, since a threshold that is silently ignored can mean that a person is missed.
"""

import os
import re
import secrets
import socket
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, FilePath, SecretStr, field_validator, model_validator
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    YamlConfigSettingsSource,
)

from engine.bundle.signature import SHORTEST, Trust
from engine.device_names import DeviceChoice, PrecisionChoice
from engine.errors import SettingsError
from engine.identity import MAX_MESSAGE_TOKENS
from schemas.access import TOPIC_LETTERS, KafkaAccess
from schemas.tls_files import FileFault
from tracing.settings import TraceSettings
from worker.access import options_of
from worker.registry_access import PLAIN_TEXT, RegistryAccess
from worker.security import Insecure, refusals

PREFIX = "MIMAMORI_"

# Client settings on which the worker's guarantees depend; metadata.broker.list is another name of the first.
_OWNED = {
    "bootstrap.servers",
    "metadata.broker.list",
    "group.id",
    "transactional.id",
    "enable.auto.commit",
    "isolation.level",
    "auto.offset.reset",
    "partition.assignment.strategy",
    "group.protocol",
    "enable.auto.offset.store",
    "enable.idempotence",
    "acks",
    "partitioner",
    "on_delivery",
    "logger",
}

# With group.protocol=consumer, the broker has these settings, and the client refuses them.
_CLASSIC_ONLY = {"session.timeout.ms", "heartbeat.interval.ms", "group.protocol.type"}

GroupProtocol = Literal["classic", "consumer"]
LogFormat = Literal["json", "console"]

Seconds = Annotated[float, Field(gt=0, le=1e6)]  # the timers that are set to them refuse "inf"
Positive = Annotated[int, Field(gt=0)]


class Settings(KafkaAccess, RegistryAccess, TraceSettings):
    """The worker's settings. Times are in seconds unless the name says milliseconds."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="forbid", frozen=True)

    # Kafka
    bootstrap: str = Field(
        "127.0.0.1:9092", min_length=1, description="Kafka brokers, host:port, comma-separated."
    )
    group: str = Field("mimamori", description="Consumer group; all workers of one task share it.")
    group_protocol: GroupProtocol = Field(
        "classic",
        description="How the group rebalances. consumer: by the broker (KIP-848), Kafka 4.0 or later, where "
        "session timeout and heartbeat are settings of the broker.",
    )
    topic_prefix: str = Field("mimamori.", pattern=TOPIC_LETTERS, description="Prefix of the topics.")
    transactional_id: str = Field(
        "",
        description="Unique per worker. A stable one (a StatefulSet's pod name) fences a dead predecessor at "
        "once; the default is unique per process, and a predecessor's open transaction times out.",
    )
    kafka: dict[str, str | int | float | bool] = Field(
        default_factory=dict,
        repr=False,  # it may hold sasl.password
        description="Further librdkafka client settings, as JSON; access to Kafka has settings of its own.",
    )
    allow_insecure: Annotated[frozenset[Insecure], NoDecode] = Field(
        frozenset(),
        description="Names of what is refused otherwise, comma-separated; see "
        "docs/how-to/secure-the-connections.md.",
    )

    renew_within_s: float = Field(
        300.0,
        ge=0,
        description="When the PEM files of access to Kafka are renewed, the worker drains and ends at a "
        "random moment within this time, with exit code 75, to be started again with them.",
    )

    # The engine
    bundle: Path = Field(
        Path("bundle"), description="The model bundle's folder. Messages that name no task are its task's."
    )
    more_bundles: Annotated[tuple[Path, ...], NoDecode] = Field(
        (),
        description="Folders of the bundles of further tasks, comma-separated. A message's task says which "
        "bundle reads it. See docs/how-to/serve-several-tasks.md.",
    )
    canary_bundle: Path | None = Field(
        None,
        description="Folder of a candidate for the bundle of its task: it labels canary_share of the task's "
        "messages. See docs/how-to/change-a-bundle.md.",
    )
    canary_share: float = Field(
        0.0,
        ge=0,
        le=1,
        description="Share of the messages that the candidate labels, drawn by their ids; 0 only opens it.",
    )
    bundle_fingerprint: str = Field(
        "",
        description="The only bundles that may run, comma-separated: fingerprints, or their first "
        f"{SHORTEST} digits or more.",
    )
    bundle_public_key: Path | None = Field(
        None, description="PEM file of ed25519 public keys: only a bundle that one of them signed may run."
    )
    device: DeviceChoice = Field(
        "auto",
        description="auto: openvino where the CPU is quickest in bf16, else cpu. Never falls back in "
        "silence.",
    )
    precision: PrecisionChoice = Field(
        "auto",
        description="auto: the one that the bundle's thresholds were fitted on, where the device has it, as "
        "they hold in no other. int8: the feed-forward blocks compute in int8, everything else in bf16; "
        "openvino alone has it.",
    )
    threads: int = Field(0, ge=0, description="Threads of a CPU device; 0 is one per core.")
    gpu_memory_mb: int = Field(
        0, ge=0, description="Most that ONNX Runtime may take of a GPU's memory; 0 is no cap."
    )
    max_message_tokens: Positive = Field(
        MAX_MESSAGE_TOKENS, description="A longer message is read up to here, and marked truncated."
    )
    device_tokens: Positive | None = Field(
        None,
        description="Tokens (rows x padded length) of one run on the device. Default: 2048 on a CPU, 8192 on "
        "a GPU.",
    )

    # Batches
    max_tokens: Positive = Field(32_768, description="A batch closes at about this many tokens to read.")
    max_batch_s: Seconds = Field(
        5.0,
        description="A batch closes at what the model reads in this time, as measured. max_batches of them "
        "should fit into revoke_s and drain_s.",
    )
    max_records: Positive = Field(2000, description="A batch closes at this many records.")
    max_wait_ms: Positive = Field(
        50,
        description="A batch closes when its first record is this old; at once while nothing is in flight.",
    )
    max_batches: Positive = Field(3, description="Fetching pauses at this many batches in flight.")
    max_in_flight_tokens: int = Field(
        0,
        ge=0,
        description="Fetching pauses at about this many tokens in flight; 0 is as many as max_batches hold.",
    )
    max_text_chars: Positive = Field(
        100_000, description="A longer text is read up to here, and its label says truncated."
    )

    # Policy
    lower: float | None = Field(None, ge=0, le=1, description="Overrides the calibration's lower threshold.")
    upper: float | None = Field(None, ge=0, le=1, description="Overrides the calibration's upper threshold.")
    allow_clear_all: bool = Field(
        False, description="Allows thresholds that clear every message. Nobody is sent to a person then."
    )
    quality_sample_share: float | None = Field(None, ge=0, le=1, description="Overrides the task's share.")

    highlights: bool = Field(
        True,
        description="Escalations say which spans of their message raised the risk (pooled reading only).",
    )

    drift_window: int = Field(
        5000,
        ge=500,
        description="How many of the last messages are compared with those that the bundle expects.",
    )

    # Shadow: `mimamori run --shadow`
    shadow: bool = Field(
        False,
        description="This worker only watches: it writes shadow labels and nothing else, in a consumer group "
        "of its own (the group's name with -shadow), without Redis. See docs/how-to/change-a-bundle.md.",
    )
    shadow_share: float = Field(
        1.0, gt=0, le=1, description="Share of the messages that a shadow screens, drawn by their ids."
    )
    shadow_at_most: float = Field(
        0,
        ge=0,
        description="Most messages a second that a shadow worker screens; it passes over the rest, so that "
        "it never falls behind. 0 is no limit.",
    )

    # What may carry message text
    case_text: bool = Field(True, description="Review cases carry the message's text.")
    dead_letter_original: bool = Field(False, description="Dead letters carry the record's original bytes.")
    dead_letter_max_bytes: Positive = Field(
        2_000_000, le=3_000_000, description="Originals above this size are left out."
    )

    # Cache
    redis_url: SecretStr = Field(
        SecretStr(""),
        description="redis://user:password@host:port/db, redis+sentinel://host:port,…/service/db or "
        "redis+cluster://host:port,…; rediss for TLS, which a password needs; empty: in-process cache only.",
    )
    redis_ca: FilePath | None = Field(
        None, description="PEM file of the authorities that rediss trusts, in place of the system's."
    )
    cache_secret: SecretStr = Field(
        SecretStr(""),
        description="Key of the cache's HMAC, 16 characters or more; the same for all workers on a Redis.",
    )
    cache_ttl_s: Positive = Field(86_400, description="How long Redis keeps a score.")
    cache_entries: int = Field(50_000, ge=0, description="Scores kept in process; 0 switches the cache off.")

    # Traces; where they are sent: TraceSettings
    traces_ratio: float = Field(
        0.1,
        ge=0,
        le=1,
        description="Share of the batches without a sampled message that get a trace of their own. Sampled "
        "messages always have spans, and so have their batches.",
    )
    traces_at_most: float = Field(
        20,
        gt=0,
        description="Most messages a second that get a span; more cost processor time that screening needs.",
    )

    # Shutdown, watchdog, health and logs
    drain_s: Seconds = Field(25.0, description="Deadline after SIGTERM, shared by all stations.")
    revoke_s: Seconds = Field(
        20.0, le=50, description="How long a rebalance waits for batches in flight; /livez allows 60."
    )
    watchdog_floor_s: Seconds = Field(
        120.0,
        description="A call of the model may take this long, or watchdog_factor times as long as measured, "
        "whichever is more; then the process ends, to be started again. Raise it for a very slow device.",
    )
    watchdog_factor: float = Field(
        20.0,
        gt=1,
        le=1e4,
        description="How many times its measured time a call may take: see watchdog_floor_s.",
    )
    health_host: str = Field("127.0.0.1", description="Where /livez, /readyz and /metrics listen.")
    health_port: int = Field(8080, ge=0, le=65535, description="0 takes a free port, and logs it.")
    log_format: LogFormat = Field(
        "json", description="json: one object a line, for a log store. console: for a person to read."
    )

    @field_validator("bundle_fingerprint")
    @classmethod
    def _pins(cls, value: str) -> str:
        pins = [pin.strip(" ") for pin in value.split(",")]
        if value and not all(re.fullmatch(f"[0-9a-fA-F]{{{SHORTEST},64}}", pin) for pin in pins):
            raise ValueError(f"needs {SHORTEST} to 64 hex digits, as `mimamori bundle show` prints them")
        return ",".join(pins).lower()

    @field_validator("transactional_id")
    @classmethod
    def _unique_by_default(cls, value: str) -> str:
        return value or f"mimamori-{socket.gethostname()}-{secrets.token_hex(4)}"

    @field_validator("allow_insecure", "more_bundles", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return (
            [name.strip() for name in value.split(",") if name.strip()] if isinstance(value, str) else value
        )

    @model_validator(mode="after")
    def _safe(self) -> Self:
        redis_url = self.redis_url.get_secret_value()
        self.check_kafka_access(self.bootstrap, plain_text_allowed="sasl_plaintext" in self.allow_insecure)
        self.check_registry_access(PREFIX, plain_text_allowed=PLAIN_TEXT in self.allow_insecure)
        own = options_of(self)
        if twice := sorted(own.keys() & self.kafka.keys()):
            raise ValueError(
                f"MIMAMORI_KAFKA sets {', '.join(twice)}, which settings of their own (MIMAMORI_SASL_…, "
                "MIMAMORI_SSL_…) set too: leave it out there"
            )
        if refused := refusals(self.bootstrap, {**self.kafka, **own}, redis_url, self.allow_insecure):
            raise ValueError("; ".join(refused))
        return self

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.lower is not None and self.upper is not None and self.lower > self.upper:
            raise ValueError("MIMAMORI_LOWER must not exceed MIMAMORI_UPPER")
        secret = self.cache_secret.get_secret_value()
        if self.redis_url.get_secret_value() and len(secret) < 16:  # noqa: PLR2004 - said in the field's description
            raise ValueError(
                "MIMAMORI_REDIS_URL needs a MIMAMORI_CACHE_SECRET of 16 characters or more: "
                "without it keys could be guessed"
            )
        if not self.shadow and (self.shadow_share < 1 or self.shadow_at_most):
            raise ValueError(
                "MIMAMORI_SHADOW_SHARE and MIMAMORI_SHADOW_AT_MOST are for a shadow alone, since a worker "
                "must label every message: remove them, or set MIMAMORI_SHADOW=true"
            )
        if (self.more_bundles or self.canary_bundle) and (self.lower, self.upper) != (None, None):
            raise ValueError(
                "MIMAMORI_LOWER and MIMAMORI_UPPER hold for one bundle's scores: remove them, since each of "
                "several bundles brings its own thresholds (`mimamori calibrate` sets them)"
            )
        if self.canary_share and self.canary_bundle is None:
            raise ValueError("MIMAMORI_CANARY_SHARE needs a MIMAMORI_CANARY_BUNDLE")
        if self.shadow and self.canary_bundle is not None:
            raise ValueError(
                "a shadow labels nothing: give it the candidate as MIMAMORI_BUNDLE, and remove "
                "MIMAMORI_CANARY_BUNDLE and MIMAMORI_CANARY_SHARE"
            )
        if self.redis_ca and not self.redis_url.get_secret_value().startswith("rediss"):
            raise ValueError(
                "MIMAMORI_REDIS_CA needs a MIMAMORI_REDIS_URL with TLS: rediss:// or rediss+…://"
            )
        if taken := _OWNED & self.kafka.keys():
            raise ValueError(f"MIMAMORI_KAFKA must not set {', '.join(sorted(taken))}: the worker owns them")
        if self.group_protocol == "consumer" and (taken := _CLASSIC_ONLY & self.kafka.keys()):
            raise ValueError(
                f"MIMAMORI_KAFKA must not set {', '.join(sorted(taken))} with "
                "MIMAMORI_GROUP_PROTOCOL=consumer: set them on the broker, for the group"
            )
        return self

    @property
    def own_group(self) -> str:
        """The consumer group to join. A shadow can never take partitions from those who write labels."""
        return f"{self.group}-shadow" if self.shadow else self.group

    @property
    def own_transactional_id(self) -> str:
        """The id to write under. A shadow with a worker's settings must not fence that worker."""
        return f"{self.transactional_id}-shadow" if self.shadow else self.transactional_id

    @property
    def trust(self) -> Trust:
        """Which bundles may run."""
        return Trust(self.bundle_fingerprint, self.bundle_public_key)

    @property
    def client_config(self) -> dict[str, Any]:
        """The configuration that all Kafka clients of this worker share: brokers and security.

        Secrets are those that their files hold now. Raises SettingsError: one cannot be read any more.
        """
        try:
            return {"bootstrap.servers": self.bootstrap, **self.kafka, **options_of(self)}
        except FileFault as fault:
            raise SettingsError(fault.line(PREFIX)) from None

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The command line overrides the environment, which overrides the file."""
        del dotenv_settings, file_secret_settings
        sources: tuple[PydanticBaseSettingsSource, ...] = (init_settings, env_settings)
        if path := os.environ.get("MIMAMORI_SETTINGS"):
            sources += (YamlConfigSettingsSource(settings_cls, yaml_file=path),)
        return sources
