"""Settings of the pages that reviewers work on."""

from pathlib import Path

from pydantic import BaseModel, Field


class PageSettings(BaseModel):
    """What the pages say, and how often the queue refreshes itself."""

    house: Path | None = Field(
        default=None,
        description="YAML file of your house: its crisis guidance, what the levels of its tasks mean, and "
        "which are severe; docs/how-to/review-desk.md",
    )
    refresh_seconds: float = Field(
        default=10, ge=1, description="How often the page of the queue asks for what has arrived"
    )
