"""The settings of a case's life: how long a claim lasts, when a decision stands, what is shown when."""

from pathlib import Path
from typing import Literal

from pydantic import Field
from pydantic_settings import BaseSettings


class CaseSettings(BaseSettings):
    """Inherited by `review.settings.ReviewSettings`."""

    lease_seconds: float = Field(
        default=600, gt=0, description="How long a claimed case is held for its reviewer, unless extended"
    )
    undo_seconds: float = Field(
        default=60, ge=0, description="How long a decision can be undone before it is published"
    )
    handover_seconds: float = Field(
        default=3600, gt=0, description="How long a case that was handed over waits for that colleague alone"
    )
    second_reader_seconds: float = Field(
        default=4 * 3600,
        gt=0,
        description="How long a case waits for a second reader before a lead is asked, who may have read it: "
        "there may be nobody else",
    )
    double_review_share: float = Field(
        default=0.02,
        ge=0,
        le=1,
        description="Share of decided cases that a second reviewer reads as well, without seeing the first "
        "decision: so the desk measures how far people agree. Where they do not, a lead decides. Set 0 where "
        "one person works alone",
    )
    golden: Path | None = Field(
        default=None,
        description="JSONL of golden items, whose answers are known: see `mimamori golden`. The page of "
        "figures says who answers them rightly",
    )
    claims: int = Field(default=1, ge=1, description="How many cases one reviewer may hold at a time")
    repeated_cases: int = Field(
        default=3,
        ge=0,
        description="How many cases at risk of one author, or in one conversation, within 24 hours raise "
        "their priority; 0 raises none",
    )
    conversation_context: int = Field(
        default=0,
        ge=0,
        le=50,
        description="How many other messages of the conversation a reader may see beside a case, once they "
        "ask and it is written down: those sent next to it, as far as they became cases themselves. Off by "
        "default, since it shows more people's words",
    )
    model_view: Literal["after", "before"] = Field(
        default="after",
        description="When a reviewer sees what the model thinks: after their own judgement stands, or before "
        "it. With before, quality samples can be told from other cases",
    )
