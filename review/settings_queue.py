"""The settings of the queue: deadlines, urgency, shares of claims, what wears people down, capacity."""

from typing import Annotated, Self

from pydantic import Field, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode


class QueueSettings(BaseSettings):
    """Inherited by `review.settings.ReviewSettings`."""

    most_severe_minutes: float = Field(
        default=30,
        gt=0,
        description="Deadline of a task's most severe level, from when the message was sent",
    )
    least_severe_minutes: float = Field(
        default=24 * 60,
        gt=0,
        description="Deadline of a task's least severe level; levels between get one in equal ratios",
    )
    quality_sample_minutes: float = Field(
        default=72 * 60, gt=0, description="Deadline of quality samples and golden items"
    )
    deadline_minutes: Annotated[dict[str, float], NoDecode] = Field(
        default={},
        description="Deadlines of single levels: `suicide-risk/attempt=5,high=20,unread=60`. A name is "
        "task/level, or a level or a kind of any task",
    )
    severity_ratio: float = Field(
        default=64, ge=1, description="How many times as urgent the most severe level is as the least severe"
    )
    uncertainty_weight: float = Field(
        default=1,
        ge=0,
        le=10,
        description="How much more urgent a case is of which the model is wholly unsure",
    )
    raised_weight: float = Field(
        default=2,
        ge=1,
        le=10,
        description="How many times as urgent a case is where its author or conversation was found at risk "
        "again and again",
    )
    severe_from: float = Field(
        default=0.6,
        gt=0,
        le=1,
        description="Where severe levels begin on a task's scale, from 0 (least) to 1 (most severe)",
    )
    severe_per_hour: int = Field(
        default=10, ge=1, description="How many severe cases a reviewer is given within an hour at most"
    )
    break_after_minutes: float = Field(
        default=50, gt=0, description="After how long without a break the desk suggests one"
    )
    skip_minutes: float = Field(
        default=60, gt=0, description="How long a case stays away from whoever put it back for now"
    )
    quality_share: float = Field(
        default=0.1,
        gt=0,
        le=0.5,
        description="Share of claims that are quality samples while deadlines can be kept",
    )
    quality_share_least: float = Field(
        default=0.02,
        gt=0,
        le=0.5,
        description="Share of claims that are quality samples however much there is to do",
    )
    due_share: float = Field(
        default=0.1,
        gt=0,
        le=0.5,
        description="Share of the other claims that get the earliest deadline of all: so nothing starves",
    )
    capacity_window_minutes: float = Field(
        default=60, gt=0, description="Over how long arrivals and decisions are counted for the forecast"
    )
    at_work_minutes: float = Field(
        default=15, gt=0, description="Whoever took a step on a case within this time is at work"
    )
    forecast_hours: float = Field(default=24, gt=0, le=168, description="How far the forecast looks ahead")

    @field_validator("deadline_minutes", mode="before")
    @classmethod
    def _pairs(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        pairs = [pair.strip().partition("=") for pair in value.split(",") if pair.strip()]
        if any(not name.strip() or not sign for name, sign, _ in pairs):
            raise ValueError("write name=minutes, separated by commas")
        return {name.strip(): minutes.strip() for name, _, minutes in pairs}

    @field_validator("deadline_minutes")
    @classmethod
    def _positive(cls, value: dict[str, float]) -> dict[str, float]:
        if wrong := sorted(name for name, minutes in value.items() if not minutes > 0):
            raise ValueError(f"the deadline of {', '.join(wrong)} must be more than 0 minutes")
        return value

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.most_severe_minutes > self.least_severe_minutes:
            raise ValueError("most_severe_minutes must not exceed least_severe_minutes")
        if self.quality_share_least > self.quality_share:
            raise ValueError("quality_share_least must not exceed quality_share")
        return self
