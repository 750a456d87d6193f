"""Small plots as SVG. Their colours are classes of the page's style, so they follow light, dark and print.

matplotlib is not used: it would be the largest package of the extra, and its SVG fixes colours and draws
letters as outlines, which no screen reader reads.
"""

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from markupsafe import Markup

_WIDTH: Final = 420
_HEIGHT: Final = 300
_LEFT: Final = 60
_RIGHT: Final = 22
_TOP: Final = 12
_BOTTOM: Final = 44


class Axis(NamedTuple):
    """From `low` to `high`, with the places of its ticks and their names."""

    title: str
    low: float
    high: float
    ticks: Sequence[tuple[float, str]]


class Line(NamedTuple):
    """Points (x, y, low, high) joined by a line of the class `style`; `low` is None without a whisker."""

    style: str
    points: Sequence[tuple[float, float, float | None, float | None]]
    marks: bool = True


class Plot:
    """Draws into the plane of two axes. `title` is what a screen reader says of it."""

    def __init__(self, title: str, x: Axis, y: Axis) -> None:
        self._x = _scale(x, _LEFT, _WIDTH - _RIGHT)
        self._y = _scale(y, _HEIGHT - _BOTTOM, _TOP)
        self._parts = [
            Markup('<svg class="plot" viewBox="0 0 {} {}" role="img"><title>{}</title>').format(
                _WIDTH, _HEIGHT, title
            )
        ]
        self._axes(x, y)

    def line(self, line: Line) -> None:
        """Draw a line with its marks and whiskers."""
        places = [(self._x(x), self._y(y)) for x, y, _, _ in line.points]
        if len(places) > 1:
            path = "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in places)
            self._parts.append(Markup('<path class="line {}" d="{}"/>').format(line.style, path))
        for (x, y), (_, _, low, high) in zip(places, line.points, strict=True):
            if low is not None and high is not None:
                bar = "M{0:.1f} {1:.1f}V{2:.1f}M{3:.1f} {1:.1f}h6M{3:.1f} {2:.1f}h6".format(
                    x, self._y(low), self._y(high), x - 3
                )
                self._parts.append(Markup('<path class="whisker {}" d="{}"/>').format(line.style, bar))
            if line.marks:
                self._parts.append(
                    Markup('<circle class="mark {}" cx="{:.1f}" cy="{:.1f}" r="3.5"/>').format(
                        line.style, x, y
                    )
                )

    def bar(self, style: str, left: float, right: float, low: float, high: float) -> None:
        """Draw a bar between values of both axes."""
        x, y = self._x(left), self._y(high)
        self._parts.append(
            Markup('<rect class="bar {}" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}"/>').format(
                style, x + 1, y, max(self._x(right) - x - 2, 0.5), max(self._y(low) - y, 0)
            )
        )

    def note(self, text: str, x: float, y: float, *, anchor: str = "start", dy: float = -6) -> None:
        """Write a word at a place of the plane."""
        self._parts.append(
            Markup('<text class="note" x="{:.1f}" y="{:.1f}" text-anchor="{}">{}</text>').format(
                self._x(x), self._y(y) + dy, anchor, text
            )
        )

    def svg(self) -> Markup:
        """The whole picture."""
        return Markup("").join([*self._parts, Markup("</svg>")])

    def _axes(self, x: Axis, y: Axis) -> None:
        bottom, right = _HEIGHT - _BOTTOM, _WIDTH - _RIGHT
        for value, name in y.ticks:
            self._parts.append(
                Markup(
                    '<path class="grid" d="M{0} {1:.1f}H{2}"/>'
                    '<text class="tick" x="{3}" y="{4:.1f}" text-anchor="end">{5}</text>'
                ).format(_LEFT, self._y(value), right, _LEFT - 7, self._y(value) + 4, name)
            )
        for value, name in x.ticks:
            self._parts.append(
                Markup('<text class="tick" x="{:.1f}" y="{}" text-anchor="middle">{}</text>').format(
                    self._x(value), bottom + 17, name
                )
            )
        middle = (_TOP + bottom) / 2
        self._parts.append(
            Markup(
                '<path class="axis" d="M{0} {1}H{2}"/>'
                '<text class="title" x="{3}" y="{4}" text-anchor="middle">{5}</text>'
                '<text class="title" transform="translate(12 {6}) rotate(-90)" text-anchor="middle">'
                "{7}</text>"
            ).format(_LEFT, bottom, right, (_LEFT + right) / 2, _HEIGHT - 8, x.title, middle, y.title)
        )


def span(low: float, high: float, value: float | None) -> Markup:
    """An interval of shares as a bar from 0 to 1, with a mark at `value`: a cell of a table."""
    width = 120
    mark = (
        Markup("")
        if value is None
        else Markup('<circle class="mark s1" cx="{:.1f}" cy="8" r="4"/>').format(4 + value * (width - 8))
    )
    return Markup(
        '<svg class="span" viewBox="0 0 {0} 16" aria-hidden="true"><path class="rail" d="M4 8H{1}"/>'
        '<path class="reach" d="M{2:.1f} 8H{3:.1f}"/>{4}</svg>'
    ).format(width, width - 4, 4 + low * (width - 8), 4 + high * (width - 8), mark)


def shares(title: str) -> Axis:
    """An axis from 0 to 1, in per cent."""
    return Axis(title, 0.0, 1.0, [(place / 4, f"{25 * place} %") for place in range(5)])


def _scale(axis: Axis, start: float, stop: float) -> Callable[[float], float]:
    reach = (axis.high - axis.low) or 1.0
    return lambda value: start + (min(max(value, axis.low), axis.high) - axis.low) / reach * (stop - start)
