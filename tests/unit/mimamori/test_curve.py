"""The picture of `adapt --plot`: every depth is in it; a file that cannot be drawn is refused beforehand."""

from pathlib import Path

import pytest

from engine.errors import SettingsError
from export.adapting.distilled import Distilled, Point
from mimamori.cli.curve import draw
from mimamori.cli.picture import require_plot


def _point(depth: int, auc: float, rate: float) -> Point:
    return Point(depth, auc, 0.8, 0.9, 0.9, messages_per_second=rate, measured=True)


TOLD = Distilled(
    teacher=_point(16, 0.9, 90.0),
    taught_by="the adapted head",
    refitted=True,
    messages=4000,
    seen=4000,
    empty=0,
    repeated=0,
    labelled=0,
    keep=0.98,
    depth=4,
    kept=0.97,
    faster=3.9,
    curve=(_point(1, 0.86, 1300.0), _point(4, 0.88, 350.0)),
)


@pytest.mark.parametrize("name", ["curve.svg", "curve.png", "curve.PDF"])
def test_a_picture_is_drawn_in_the_format_of_its_name(tmp_path: Path, name: str) -> None:
    starts = {"svg": b"<?xml", "png": b"\x89PNG", "pdf": b"%PDF"}
    require_plot(tmp_path / name)
    draw(TOLD, tmp_path / name)
    assert (tmp_path / name).read_bytes().startswith(starts[name.split(".")[1].lower()])


def test_every_depth_is_named_in_the_picture(tmp_path: Path) -> None:
    draw(TOLD, tmp_path / "curve.svg")
    drawn = (tmp_path / "curve.svg").read_text()
    for label in ("1", "4", "16, the teacher"):
        assert f"<!-- {label} -->" in drawn


@pytest.mark.parametrize("name", ["curve.gif", "curve", "nowhere/curve.svg"])
def test_a_picture_that_cannot_be_drawn_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(SettingsError, match=r"\.svg or \.png or \.pdf"):
        require_plot(tmp_path / name)


def test_a_picture_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "curve.svg").mkdir()
    with pytest.raises(SettingsError, match="cannot write"):
        draw(TOLD, tmp_path / "curve.svg")
    assert [each.name for each in tmp_path.iterdir()] == ["curve.svg"]


def test_rates_are_written_out_and_every_line_is_named(tmp_path: Path) -> None:
    draw(TOLD, tmp_path / "curve.svg")
    drawn = (tmp_path / "curve.svg").read_text()
    for tick in ("100", "200", "500", "1,000"):
        assert f"<!-- {tick} -->" in drawn
    assert "mathdefault" not in drawn  # as in 3 x 10^2
