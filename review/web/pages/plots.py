"""Plots as SVG, drawn here without a library. Each says in words what it shows; a table has its numbers.

Colours and sizes come from the style sheet, since the content policy allows no style inside a page.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from itertools import accumulate
from typing import Final, NamedTuple
from unicodedata import east_asian_width

from markupsafe import Markup, escape

_WIDTH: Final = 640
_ROW: Final = 28
_NAMES: Final = 190
_VALUES: Final = 90
# That stand in the room of the names, in the style sheet's size; East Asian ones count twice.
_LETTERS: Final = 23
_HEIGHT: Final = 160


class Bar(NamedTuple):
    """One row: a name, its value, and the value in words. `part` of it is marked, such as what is overdue."""

    name: str
    value: float
    said: str
    part: float = 0.0


def bars(title: str, rows: Sequence[Bar]) -> Markup:
    """Horizontal bars on one scale that begins at zero."""
    most = max((row.value for row in rows), default=0.0) or 1.0
    room = _WIDTH - _NAMES - _VALUES
    drawn = Markup("").join(_row(number, row, room / most) for number, row in enumerate(rows))
    return _svg(title, _ROW * len(rows), drawn)


def _row(number: int, row: Bar, scale: float) -> Markup:
    y = _ROW * number
    return Markup(
        '<text class="name" x="{x}" y="{text_y}"><title>{name}</title>{short}</text>'
        '<rect class="bar" x="{bar_x}" y="{bar_y}" width="{width:.1f}" height="16"/>'
        '<rect class="part" x="{bar_x}" y="{bar_y}" width="{part:.1f}" height="16"/>'
        '<text class="value" x="{value_x:.1f}" y="{text_y}">{said}</text>'
    ).format(
        x=_NAMES - 8,
        text_y=y + 18,
        name=row.name,
        short=_fitting(row.name),
        bar_x=_NAMES,
        bar_y=y + 6,
        width=row.value * scale,
        part=row.part * scale,
        value_x=_NAMES + row.value * scale + 6,
        said=row.said,
    )


def _fitting(name: str) -> str:
    """As much of a name as stands beside a bar: its beginning and its end, where the level is."""
    places = list(accumulate((2 if east_asian_width(each) in "WF" else 1 for each in name), initial=0))
    if places[-1] <= _LETTERS:
        return name
    half = (_LETTERS - 1) // 2
    return f"{name[: bisect_right(places, half) - 1]}…{name[bisect_left(places, places[-1] - half) :]}"


def columns(title: str, days: Sequence[tuple[str, Sequence[tuple[str, int]]]]) -> Markup:
    """One column a day, its parts (class name, count) on top of one another, and above it their sum."""
    most = max((sum(count for _, count in parts) for _, parts in days), default=0) or 1
    width = _WIDTH / max(len(days), 1)
    drawn = Markup("")
    for place, (name, parts) in enumerate(days):
        below = 0
        for kind, count in parts:
            height = count * (_HEIGHT - 36) / most
            top = _HEIGHT - 20 - (below * (_HEIGHT - 36) / most) - height
            drawn += Markup(
                '<rect class="{kind}" x="{x:.1f}" y="{y:.1f}" width="{w:.1f}" height="{h:.1f}"/>'
            ).format(kind=kind, x=place * width + width * 0.1, y=top, w=width * 0.8, h=height)
            below += count
        if below:
            drawn += Markup('<text class="sum" x="{x:.1f}" y="{y:.1f}">{sum}</text>').format(
                x=(place + 0.5) * width, y=_HEIGHT - 24 - below * (_HEIGHT - 36) / most, sum=below
            )
        if place % max(1, len(days) // 7) == 0:
            drawn += Markup('<text class="day" x="{x:.1f}" y="{y}">{name}</text>').format(
                x=place * width, y=_HEIGHT - 4, name=name
            )
    return _svg(title, _HEIGHT, drawn)


def interval(title: str, low: float, value: float, high: float) -> Markup:
    """A share or coefficient from 0 to 1 on a line, with its interval. What lies below 0 stands at 0."""
    at = [max(0.0, each) * (_WIDTH - 40) + 20 for each in (low, value, high)]
    drawn = Markup(
        '<line class="axis" x1="20" y1="20" x2="{end}" y2="20"/><text class="day" x="14" y="44">0</text>'
        '<text class="day" x="{end}" y="44">1</text>'
        '<line class="interval" x1="{low:.1f}" y1="20" x2="{high:.1f}" y2="20"/>'
        '<circle class="point" cx="{value:.1f}" cy="20" r="7"/>'
    ).format(end=_WIDTH - 20, low=at[0], value=at[1], high=at[2])
    return _svg(title, 50, drawn)


def _svg(title: str, height: int, drawn: Markup) -> Markup:
    return Markup(
        '<svg class="plot" viewBox="0 0 {width} {height}" role="img" aria-label="{title}">{drawn}</svg>'
    ).format(width=_WIDTH, height=max(height, 1), title=escape(title), drawn=drawn)
