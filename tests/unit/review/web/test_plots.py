"""Plots say what they show: names that are too long are cut where it hurts least, and columns have sums."""

import re

import pytest

from review.web.pages.plots import Bar, bars, columns


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("stress: high", "stress: high"),
        ("harassment in the marketplace chat: coordinated", "harassment …coordinated"),
        ("賃貸詐欺のおそれがある会話の見張りの要求", "賃貸詐欺の…張りの要求"),
        ("<b>" + "x" * 40, "&lt;b&gt;xxxxxxxx…xxxxxxxxxxx"),
    ],
)
def test_a_long_name_keeps_its_beginning_and_its_end_and_is_whole_in_its_title(name: str, shown: str) -> None:
    drawn = bars("What waits", [Bar(name, 3, "3")])
    assert f"</title>{shown}</text>" in drawn
    assert re.search("<title>([^<]*)</title>", drawn)


def test_a_column_has_its_sum_above_it_and_a_day_without_any_has_none() -> None:
    drawn = columns("Decided", [("11-26", []), ("11-27", [("at-risk", 2), ("unsure", 3)])])
    assert re.findall('class="sum"[^>]*>([0-9]+)<', drawn) == ["5"]
    assert all(float(y) >= 0 for y in re.findall(r' y="([-0-9.]+)"', drawn))
