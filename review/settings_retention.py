"""The desk's settings of how what people wrote is kept, and for how long. Part of `ReviewSettings`."""

from pathlib import Path
from typing import Self

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import BaseSettings


class RetentionSettings(BaseSettings):
    """Keys and times. docs/how-to/keep-and-erase.md says what they add up to."""

    table_keys: SecretStr | None = Field(
        default=None,
        description="Keys that seal the table and its changelog, in base64, comma-separated; the first "
        "seals, the others open what was sealed before. Make one with `openssl rand -base64 32`. Without "
        "any, a desk on loopback makes one in its folder, and any other refuses to start",
    )
    table_keys_file: Path | None = Field(
        default=None, description="File that holds these keys, one a line, instead of table_keys"
    )
    retention_after_decision_hours: float = Field(
        default=24,
        ge=0,
        description="How long after a decision stands the broker is told to forget the case's text; the desk "
        "itself forgets it at once",
    )
    changelog_compaction_hours: float = Field(
        default=24,
        gt=0,
        description="Longest time after the decision that the changelog topic keeps a case's text, sealed",
    )
    publish_notes: bool = Field(
        default=False,
        description="Put the reviewer's note on the published decision, too. That topic keeps it for its "
        "retention: no erasure reaches a note there, and it may quote a message",
    )
    keep_markers_days: float = Field(
        default=90,
        gt=0,
        description="How long a decided case is remembered. Keep it longer than the cases topic keeps its "
        "records, or an old case that is read again opens again",
    )

    @model_validator(mode="after")
    def _retention_is_whole(self) -> Self:
        if self.table_keys is not None and self.table_keys_file is not None:
            raise ValueError("give table_keys or table_keys_file, not both")
        if self.retention_after_decision_hours >= self.keep_markers_days * 24:
            raise ValueError(
                "retention_after_decision_hours must be shorter than keep_markers_days: the desk has to "
                "remember a case until the broker has forgotten its text"
            )
        return self
