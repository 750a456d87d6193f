"""The numbers that the queue goes by, made of the settings. Pure."""

import msgspec

from review.queue.urgency import Law
from review.settings_queue import QueueSettings


class Rules(msgspec.Struct, frozen=True):
    """Times are in seconds, shares in (0, 1]. The settings of the same names say what each is."""

    law: Law = Law()
    severe_per_hour: int = 10
    break_after: float = 50 * 60.0
    skip: float = 3600.0
    quality_share: float = 0.1
    quality_share_least: float = 0.02
    due_share: float = 0.1
    capacity_window: float = 3600.0
    at_work: float = 15 * 60.0
    forecast: float = 24 * 3600.0

    @property
    def usual_every(self) -> int:
        """Every how many claims one is a quality sample while deadlines can be kept."""
        return max(round(1 / self.quality_share), 1)

    @property
    def due_every(self) -> int:
        """Every how many other claims get the earliest deadline."""
        return max(round(1 / self.due_share), 1)


def rules_of(settings: QueueSettings) -> Rules:
    """The rules of the queue in these settings."""
    law = Law(
        most_severe=settings.most_severe_minutes * 60,
        least_severe=settings.least_severe_minutes * 60,
        quality_sample=settings.quality_sample_minutes * 60,
        deadlines={name: minutes * 60 for name, minutes in settings.deadline_minutes.items()},
        severity_ratio=settings.severity_ratio,
        uncertainty_weight=settings.uncertainty_weight,
        raised_weight=settings.raised_weight,
        severe_from=settings.severe_from,
    )
    return Rules(
        law=law,
        severe_per_hour=settings.severe_per_hour,
        break_after=settings.break_after_minutes * 60,
        skip=settings.skip_minutes * 60,
        quality_share=settings.quality_share,
        quality_share_least=settings.quality_share_least,
        due_share=settings.due_share,
        capacity_window=settings.capacity_window_minutes * 60,
        at_work=settings.at_work_minutes * 60,
        forecast=settings.forecast_hours * 3600,
    )
