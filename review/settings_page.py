"""Settings of the pages that reviewers work on."""

from pathlib import Path

from pydantic import BaseModel, Field


class PageSettings(BaseModel):
    """What the pages say, and how they look after those who read."""

    house: Path | None = Field(
        default=None,
        description="YAML file of your house: its crisis guidance, what the levels of its tasks mean, and "
        "which are severe; docs/how-to/review-desk.md",
    )
    break_after_minutes: float = Field(
        default=50, ge=0, description="Work without a pause after which the page suggests one; 0 never does"
    )
    severe_per_hour: int = Field(
        default=8,
        ge=0,
        description="Severe decisions of one reviewer in an hour after which the page offers quieter cases; "
        "0 sets no cap",
    )
    refresh_seconds: float = Field(
        default=10, ge=1, description="How often the page of the queue asks for what has arrived"
    )
