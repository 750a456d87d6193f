"""Says the forecast in plain words: what is delayed, what that costs, and what would help. Pure."""

from datetime import UTC, datetime
from math import ceil

from review.queue.capacity import Forecast, LaneForecast

MINUTES_UP_TO = 2 * 3600


def statement(forecast: Forecast, *, sample_every: int, usual_every: int) -> list[str]:
    """The forecast as sentences. Without a rush, one claim in `usual_every` is a quality sample."""
    said = [_pace(forecast)]
    if not forecast.delayed:
        said.append(f"All deadlines of the next {_length(forecast.horizon - forecast.now)} can be kept.")
        return said
    said += [_delayed(lane, forecast) for lane in forecast.delayed]
    said.append(_cost(forecast))
    if sample_every > usual_every:
        said.append(
            f"One claim in {sample_every} is a quality sample instead of one in {usual_every}, until "
            "deadlines can be kept again."
        )
    said.append("Nothing is dropped: what is delayed is decided later.")
    return said


def reviewers_missing(forecast: Forecast) -> int | None:
    """How many more reviewers at the present pace would keep every deadline; None where nobody is at work.

    Deadlines that have passed already are no longer to be kept: their cases must be decided within an hour.
    """
    pace = forecast.pace
    if not pace.rate:
        return None
    return max(ceil(pace.at_work * forecast.pressure) - pace.at_work, 0)


def _pace(forecast: Forecast) -> str:
    pace = forecast.pace
    arrivals = f"{sum(pace.arrivals.values()):.0f} cases an hour arrive"
    window = _length(pace.window)
    if not pace.at_work:
        return f"Nobody is at work; {arrivals} (last {window})."
    people = "1 reviewer is" if pace.at_work == 1 else f"{pace.at_work} reviewers are"
    if not pace.rate:
        return f"{people} at work, and nobody has decided a case in the last {window}; {arrivals}."
    decide = "decides" if pace.at_work == 1 else "decide"
    return f"{people} at work and {decide} {pace.rate:.0f} cases an hour; {arrivals} (last {window})."


def _delayed(lane: LaneForecast, forecast: Forecast) -> str:
    name = f"{lane.lane.task}, {lane.lane.name.replace('_', ' ')}"
    deadline = f"the deadline of {_length(lane.allowance)}"
    if lane.missed == lane.overdue:
        return f"{name}: {_cases(lane.missed)} past {deadline} already."
    said = f"{name}: {_cases(lane.missed)} will be late for {deadline}"
    already = f"{lane.overdue} of them already, " if lane.overdue else ""
    return f"{said}, {already}the next at {_moment(lane.first_miss or forecast.now, forecast.now)}."


def _cost(forecast: Forecast) -> str:
    hours = forecast.hours_late
    severe = f"{forecast.missed_severe} of them severe" if forecast.missed_severe else "none of them severe"
    late = f"{hours:.0f} hours" if hours >= 1 else "less than an hour"
    within = f"Within {_length(forecast.horizon - forecast.now)}, {_cases(forecast.missed)} late, {severe}"
    said = f"{within}: people wait {late} longer than they should, in sum."
    missing = reviewers_missing(forecast)
    if missing:
        said += f" {missing} more reviewer{'s' if missing > 1 else ''} would keep the deadlines."
    return said


def _cases(count: int) -> str:
    return "1 case" if count == 1 else f"{count} cases"


def _length(seconds: float) -> str:
    if seconds < MINUTES_UP_TO:
        minutes = round(seconds / 60)
        return f"{minutes} minute{'' if minutes == 1 else 's'}"
    return f"{seconds / 3600:.0f} hours"


def _moment(at: float, now: float) -> str:
    moment, today = (datetime.fromtimestamp(time, UTC) for time in (at, now))
    return f"{moment:%H:%M} UTC" if moment.date() == today.date() else f"{moment:%d %b %H:%M} UTC"
