"""Makes the page of a report: everything on it is in the report, and so in its JSON.

The page calls nothing and runs nothing: its policy allows one style sheet, which it names by hash. Whatever a
file brought (texts, values, names) is escaped.
"""

import base64
import hashlib
import itertools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, TypeVar

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from export.evaluating.intervals import Interval
from export.evaluating.page.pictures import STYLES, by_labels, miss_and_load, reliable
from export.evaluating.page.plots import span
from export.evaluating.page.words import sentences, warnings
from export.evaluating.report import Report
from export.evaluating.slices import FEWEST, Slice

T = TypeVar("T")

_HERE: Final = Path(__file__).parent
_NONE: Final = "\N{EN DASH}"
_PER_CENT: Final = "\N{NO-BREAK SPACE}%"
_SMALL: Final = 0.01  # below, a share in per cent needs two places
_MANY: Final = 10
_TENTH: Final = 0.1  # below, an interval of shares needs a decimal
_STRONG: Final = (0.75, 0.4, 0.15, 0.0)


def render(report: Report) -> str:
    """The page as HTML."""
    css = (_HERE / "report.css").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(css.encode()).digest()).decode()
    rows = () if report.shots is None else report.shots.rows
    labels = () if report.shots is None else report.shots.labels
    names = dict.fromkeys(row.way for row in rows)
    return (
        _environment()
        .get_template("report.html")
        .render(
            report=report,
            css=Markup(css),  # noqa: S704 - our own file
            style_hash=f"sha256-{digest}",
            warnings=warnings(report),
            sentences=sentences(report),
            load=report.workload[-1] if report.workload else None,
            rules=(
                ("risk ≥ 0.5 (even odds)", report.even_odds),
                ("not clear (a person looks)", report.not_clear),
                ("at_risk", report.at_risk),
            ),
            slices=_grouped_by(report.slices, lambda each: each.by),
            ways=_grouped_by(rows, lambda row: row.way),
            fewest=FEWEST,
            shown=any(each.text is not None for each in report.worst),
            keys=[(name, STYLES[number % len(STYLES)]) for number, name in enumerate(names)],
            pictures={
                "miss_and_load": miss_and_load(report),
                "reliable": reliable(report),
                "f1": by_labels(rows, labels, "f1", "F1"),
                "auc": by_labels(rows, labels, "auc", "AUC"),
            },
        )
    )


def _environment() -> Environment:
    made = Environment(
        loader=FileSystemLoader(_HERE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=False,
        keep_trailing_newline=True,
    )
    made.filters |= {
        "percent": percent,
        "span_of": span_of,
        "figure": figure,
        "figures": _figures,
        "thousand": _thousand,
        "grouped": _grouped,
        "hours": _hours,
        "heat": _heat,
        "bar": _bar,
    }
    return made


def _grouped_by(rows: Sequence[T], key: Callable[[T], str]) -> list[tuple[str, list[T]]]:
    return [(name, list(each)) for name, each in itertools.groupby(rows, key)]


def percent(value: float | None) -> str:
    """A share in per cent; a dash where there is none."""
    if value is None:
        return _NONE
    places = 0 if value in {0.0, 1.0} else 1 if value >= _SMALL else 2
    return f"{100 * value:.{places}f}{_PER_CENT}"


def span_of(interval: Interval) -> str:
    """An interval of shares, in per cent."""
    if interval.high < _TENTH:
        return f"({100 * interval.low:.1f} to {100 * interval.high:.1f}{_PER_CENT})"
    return f"({100 * interval.low:.0f} to {100 * interval.high:.0f}{_PER_CENT})"


def figure(value: float | None) -> str:
    """A figure with three places; a dash where there is none."""
    return _NONE if value is None else f"{value:.3f}"


def _figures(interval: Interval) -> str:
    return f"({interval.low:.3f} to {interval.high:.3f})"


def _thousand(interval: Interval) -> str:
    return f"({1000 * interval.low:.0f} to {1000 * interval.high:.0f})"


def _grouped(value: float) -> str:
    return f"{value:,.0f}" if value >= _MANY or not value else f"{value:.1f}"


def _hours(value: float) -> str:
    return f"{value:,.1f} hours" if value >= 1 else f"{60 * value:.1f} minutes"


def _heat(count: int, line: Sequence[int]) -> str:
    """How dark a cell of a matrix is: by its share of the row."""
    share = count / (sum(line) or 1)
    strength = next(4 - place for place, least in enumerate(_STRONG) if share >= least)
    return f"h{strength}" if count else "h0"


def _bar(each: Slice) -> Markup:
    return span(each.recall_interval.low, each.recall_interval.high, each.recall)
