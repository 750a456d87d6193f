"""Draws what `mimamori calibrate` found: do risks mean what they say, and what would other thresholds do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from mimamori.cli.picture import save

if TYPE_CHECKING:  # importing it takes the adapt extra, and a second
    from pathlib import Path

    from export.calibrating.calibrate import CalibrateReport


_SMALLEST, _LARGEST = 25, 400  # areas of a bin's point
_BELOW: Final[dict[str, Any]] = {"loc": "upper center", "bbox_to_anchor": (0.5, -0.14), "ncols": 2}


def draw(report: CalibrateReport, path: Path) -> None:
    """Draw a reliability diagram, and misses and load over the threshold. `require_plot` comes first.

    Raises SettingsError: the file cannot be written.
    """
    from matplotlib.figure import Figure

    figure: Any = Figure(figsize=(11, 5), layout="constrained")
    reliability, thresholds = figure.subplots(1, 2)
    _reliability(report, reliability)
    _thresholds(report, thresholds)
    save(figure, path)


def _reliability(report: CalibrateReport, axes: Any) -> None:
    bins = report.reliability
    axes.plot([0, 1], [0, 1], color="0.6", linestyle="--", label="means what it says")
    stated, found = [each.stated for each in bins], [each.found for each in bins]
    sizes = [_SMALLEST + _LARGEST * each.weight for each in bins]
    axes.scatter(stated, found, sizes, label="found; the size is the share of the stream", clip_on=False)
    for each in bins:
        axes.annotate(f"{each.examples}", (each.stated, each.found), (6, -12), textcoords="offset points")
    axes.set(xlim=(0, 1), ylim=(0, 1), xlabel="stated risk (mean of a tenth)", ylabel="share at risk")
    axes.set_title(
        f"Risks at {report.statement.share.prevalence:.1%} at risk: ECE {report.calibration_error:.3f}"
    )
    axes.text(0.98, 0.03, "numbers: examples in each bin", ha="right", transform=axes.transAxes, color="0.4")
    axes.legend(**_BELOW)


def _plain(share: float, _: int) -> str:
    """A share as people write it: 0.99, and 1e-5 where that takes fewer signs."""
    return f"{share:.6g}"


def _thresholds(report: CalibrateReport, axes: Any) -> None:
    said = report.statement
    at = [each.lower for each in report.curve]
    axes.step(at, [each.missed for each in report.curve], where="pre", label="missed, of those at risk")
    axes.plot(at, [each.reviewed for each in report.curve], label="reviewed, of all messages")
    axes.axhline(said.max_miss_rate, color="0.6", linestyle="--")
    axes.annotate(
        f"{said.max_miss_rate:g} may be missed",
        (0.99, said.max_miss_rate),
        (0, 3),
        xycoords=("axes fraction", "data"),
        textcoords="offset points",
        ha="right",
        color="0.4",
    )
    marks = {
        f"lower, {said.confidence:g} confidence": (said.with_confidence, "C2"),
        "lower, in expectation": (said.in_expectation, "C3"),
    }
    for name, (found, colour) in marks.items():
        if found is not None:
            axes.axvline(found.lower, color=colour, label=f"{name}: {found.lower:.3g}")
    axes.set(xlabel="lower threshold (clear below)", ylabel="share", ylim=(0, 1.02), xscale="logit")
    axes.xaxis.set_major_formatter(_plain)
    axes.xaxis.set_minor_formatter(lambda *_: "")
    axes.set_title("What the lower threshold does to the examples")
    axes.legend(**_BELOW)
