"""How far the feed may go ahead of the outcomes."""

import pytest

from mimamori.soak.supply import AHEAD, RECOVERY_S, SLACK, Supply, steady_rate


def test_without_a_rate_the_feed_goes_far_ahead_and_not_past_the_next_fault() -> None:
    supply = Supply(2)
    ahead = AHEAD // 2
    assert supply.reach(0, [10, 30], [0, 0], 1_000, recovering=False) == [10 + ahead, 30 + ahead]
    assert supply.reach(0, [900, 30], [0, 0], 1_000, recovering=False) == [500 + ahead, 30 + ahead]


def test_with_a_rate_messages_reach_the_next_fault_and_then_come_steadily() -> None:
    supply = Supply(2, rate=10.0)
    assert supply.reach(0, [0, 0], [0, 0], 1_000, recovering=False) == [500 + SLACK] * 2
    assert supply.reach(5.0, [400, 600], [550, 550], 2_000, recovering=True) == [550 + SLACK] * 2
    assert supply.reach(7.0, [400, 800], [560, 560], 2_000, recovering=True) == [550 + SLACK + 20] * 2
    assert supply.reach(9.0, [700, 800], [570, 570], 2_000, recovering=False) == [1_000 + SLACK] * 2
    assert supply.reach(20.0, [900, 900], [950, 950], 9_000, recovering=True) == [950 + SLACK] * 2


@pytest.mark.parametrize("faults", [1, 30])
def test_a_steady_rate_lasts_for_every_recovery(faults: int) -> None:
    assert steady_rate(60_000, faults, 6) * 6 * faults * RECOVERY_S == pytest.approx(60_000)
