"""The report's plots: what people see against what is missed, reliability, and how few labels are enough."""

from collections.abc import Sequence
from typing import Final

from markupsafe import Markup

from export.evaluating.page.plots import Axis, Line, Plot, shares
from export.evaluating.report import Report
from export.evaluating.shots import Row, Spread

STYLES: Final = ("s1", "s2", "s3", "s4", "s5", "s6", "s7", "s8")
_TICKS: Final = 5


def miss_and_load(report: Report) -> Markup | None:
    """Every lower threshold: messages that people see, and the share of those at risk that it clears."""
    if not report.curve:
        return None
    ticks = [(place / 4, f"{1000 * place / 4:.0f}") for place in range(_TICKS)]
    plot = Plot(
        "What each lower threshold would miss, against how many messages people would see",
        Axis("of 1,000 messages people see", 0.0, 1.0, ticks),
        shares("of those at risk are cleared"),
    )
    points = sorted((point.seen, point.missed) for point in report.curve)
    tolerated = report.tolerated_miss_rate
    plot.line(Line("limit", [(0, tolerated, None, None), (1, tolerated, None, None)], marks=False))
    load = report.workload[-1]
    left = load.seen > 0.5  # noqa: PLR2004 - the curve is flat on the other side
    plot.note(
        f"tolerated: {100 * tolerated:g} %", 0.01 if left else 1, tolerated, anchor="start" if left else "end"
    )
    plot.line(Line("s1", [(seen, missed, None, None) for seen, missed in points], marks=False))
    interval = report.miss_rate_interval
    if report.miss_rate is not None and interval is not None:
        plot.line(Line("s2", [(load.seen, report.miss_rate, interval.low, interval.high)]))
        aside = -0.03 if left else 0.03
        plot.note("now", load.seen + aside, report.miss_rate, anchor="end" if left else "start", dy=-8)
    return plot.svg()


def reliable(report: Report) -> Markup | None:
    """The reliability diagram; the bars at its foot say how many messages had such a risk."""
    if report.reliability is None:
        return None
    plot = Plot(
        "Share of messages at risk, against the risk that was said",
        shares("risk as the model says it"),
        shares("of these are at risk"),
    )
    bins = [each for each in report.reliability.bins if each.examples]
    most = max(each.examples for each in bins)
    for each in bins:
        plot.bar("count", each.low, each.high, 0.0, 0.16 * each.examples / most)
    plot.line(Line("limit", [(0, 0, None, None), (1, 1, None, None)], marks=False))
    plot.line(
        Line(
            "s1",
            [
                (
                    each.mean_risk or 0.0,
                    each.at_risk or 0.0,
                    each.at_risk_interval.low,
                    each.at_risk_interval.high,
                )
                for each in bins
            ],
        )
    )
    return plot.svg()


def by_labels(rows: Sequence[Row], counts: Sequence[int], figure: str, title: str) -> Markup | None:
    """A figure of every way against the number of labels; whiskers: one standard deviation of the draws."""
    if not rows:
        return None
    made: list[tuple[Row, Spread]] = [(row, getattr(row, figure)) for row in rows]
    least = min(spread.mean - (spread.deviation or 0.0) for _, spread in made)
    floor = max(0.0, 0.1 * int(10 * least))
    names = list(dict.fromkeys(row.way for row in rows))
    places = {count: place for place, count in enumerate(counts)}
    ticks = [(float(place), f"{count}") for count, place in places.items()]
    plot = Plot(
        f"{title} of every way of screening, by number of labelled examples",
        Axis("labelled examples", -0.4, len(counts) - 0.6, ticks),
        Axis(
            title, floor, 1.0, [(place / 10, f"{place / 10:.1f}") for place in range(round(10 * floor), 11)]
        ),
    )
    for number, name in enumerate(names):
        shift = 0.05 * (number - (len(names) - 1) / 2)
        points = [
            (
                places[row.labels] + shift,
                spread.mean,
                None if spread.deviation is None else spread.mean - spread.deviation,
                None if spread.deviation is None else spread.mean + spread.deviation,
            )
            for row, spread in made
            if row.way == name
        ]
        plot.line(Line(STYLES[number % len(STYLES)], points))
    return plot.svg()
