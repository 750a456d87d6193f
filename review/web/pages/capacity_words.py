"""Says in plain words whether people can take what waits: what is delayed, its cost, what would help."""

from collections.abc import Iterator
from datetime import UTC, datetime

from review.queue.capacity import Forecast, LaneForecast, reviewers_missing
from review.queue.live import Capacity
from review.web.pages.language import Words
from review.web.pages.shown import Shower

HOUR_S = 3600


def capacity_words(capacity: Capacity, t: Words, shower: Shower) -> Iterator[str]:
    """The forecast as sentences."""
    forecast = capacity.forecast
    ahead = t.lasting(forecast.horizon - forecast.now)
    yield _pace(forecast, t)
    if not forecast.delayed:
        yield t("capacity.kept", ahead=ahead)
        return
    for lane in forecast.delayed:
        yield _delayed(lane, forecast, t, shower)
    yield t(
        "capacity.cost",
        ahead=ahead,
        n=forecast.missed,
        severe=forecast.missed_severe,
        late=in_sum(forecast.hours_late, t),
    )
    if missing := reviewers_missing(forecast):
        yield t("capacity.more", n=missing)
    if capacity.sample_every > capacity.usual_every:
        yield t("capacity.samples", every=capacity.sample_every, usual=capacity.usual_every)
    yield t("capacity.not_dropped")


def _pace(forecast: Forecast, t: Words) -> str:
    pace = forecast.pace
    key = "nobody" if not pace.at_work else "pace" if pace.rate else "undecided"
    return t(
        f"capacity.{key}",
        people=pace.at_work,
        rate=f"{pace.rate:.0f}",
        arrivals=f"{sum(pace.arrivals.values()):.0f}",
        window=t.lasting(pace.window),
    )


def _delayed(late: LaneForecast, forecast: Forecast, t: Words, shower: Shower) -> str:
    key = "past" if late.missed == late.overdue else "partly" if late.overdue else "late"
    return t(
        f"capacity.{key}",
        lane=shower.lane(late.lane.task, late.lane.kind, late.lane.level),
        n=late.missed,
        overdue=late.overdue,
        allowance=t.lasting(late.allowance),
        at=_moment(late.first_miss or forecast.now, forecast.now),
    )


def in_sum(hours: float, t: Words) -> str:
    """How much longer people wait, added up: in hours, however many."""
    return t("duration.h", n=round(hours)) if hours >= 1 else t.lasting(hours * HOUR_S)


def _moment(at: float, now: float) -> str:
    moment, today = (datetime.fromtimestamp(time, UTC) for time in (at, now))
    return f"{moment:%H:%M}" if moment.date() == today.date() else f"{moment:%m-%d %H:%M}"
