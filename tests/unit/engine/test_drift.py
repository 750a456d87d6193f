"""Drift: what PSI promises, and what is concluded from it."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.bundle.expected import restated_as
from engine.drift import FEWEST, SIGNALS, Binned, Expected, Noted, compare, count, expect, psi, restated
from engine.odds import Odds

COUNTS = st.lists(st.tuples(st.integers(0, 5000), st.integers(0, 5000)), min_size=2, max_size=12)


def messages(number: int, *, seed: int = 0, shift: float = 0.0, obfuscated: float = 0.0) -> list[Noted]:
    """Messages of which most have a low risk."""
    chance = np.random.default_rng(seed)
    risks = 1 / (1 + np.exp(-chance.normal(-3 + shift, 1.5, number)))
    lengths = chance.geometric(0.02, number)
    odd = chance.random(number) < obfuscated
    return [
        Noted(float(risk), 1 + int(length) // 100, length > 300, False, bool(hidden), int(length))
        for risk, length, hidden in zip(risks, lengths, odd, strict=True)
    ]


def moved(now: list[Noted], then: list[Noted]) -> dict[str, str]:
    expected = expect(then)
    edges = {name: binned.edges for name, binned in expected.signals.items()}
    return {each.signal: each.movement for each in compare(expected.signals, count(now, edges))}


@given(COUNTS)
def test_it_is_never_negative_and_the_same_in_both_directions(pairs: list[tuple[int, int]]) -> None:
    one, other = zip(*pairs, strict=True)
    assert psi(one, one) == 0
    assert psi(one, other) >= 0
    assert psi(one, other) == pytest.approx(psi(other, one), abs=1e-12)
    assert math.isfinite(psi(one, other))


def test_it_is_the_sum_that_the_books_give() -> None:
    """Siddiqi's formula by hand, on counts so large that half a message more does not show."""
    one, other = [0.5, 0.3, 0.2], [0.4, 0.3, 0.3]
    expected = sum((p - q) * math.log(p / q) for p, q in zip(one, other, strict=True))
    counts = [[round(1e7 * share) for share in shares] for shares in (one, other)]
    assert psi(*counts) == pytest.approx(expected, rel=1e-4)


def test_an_empty_bin_is_far_and_not_infinite() -> None:
    assert 0.25 < psi([100, 0], [90, 10]) < 1


def test_the_same_stream_is_stable() -> None:
    assert set(moved(messages(3000, seed=1), messages(1000)).values()) == {"stable"}


def test_riskier_messages_are_noticed() -> None:
    found = moved(messages(3000, seed=1, shift=1.5), messages(1000))
    assert found.pop("risk") == "shifted"
    assert set(found.values()) == {"stable"}


def test_a_rare_disguise_that_becomes_common_is_noticed_where_psi_alone_is_not() -> None:
    then, now = messages(2000, obfuscated=0.002), messages(5000, seed=1, obfuscated=0.02)
    found = {each.signal: each for each in compare(expect(then).signals, expect_like(then, now))}
    assert found["obfuscated"].psi < 0.1
    assert found["obfuscated"].movement == "moderate"
    assert found["obfuscated"].share_now == pytest.approx(0.02, abs=0.01)
    assert found["truncated"].movement == "stable"


def expect_like(then: list[Noted], now: list[Noted]) -> dict:  # type: ignore[type-arg] # as `count` gives it
    return count(now, {name: binned.edges for name, binned in expect(then).signals.items()})


def test_of_few_messages_nothing_is_concluded() -> None:
    assert set(moved(messages(FEWEST - 1, shift=3), messages(1000)).values()) == {"too few"}


def test_chance_gives_about_what_is_said() -> None:
    """Yurdakul's mean over many draws of one stream."""
    found = [
        compare(expect(then).signals, expect_like(then, now))[0]
        for then, now in ((messages(800, seed=s), messages(800, seed=1000 + s)) for s in range(60))
    ]
    mean = float(np.mean([each.psi for each in found]))
    assert mean == pytest.approx(found[0].by_chance, rel=0.3)


def test_messages_without_text_have_no_length_in_characters() -> None:
    then = messages(600)
    now = [each._replace(characters=None) for each in then]
    assert [each.signal for each in compare(expect(then).signals, expect_like(then, now))] == [
        name for name in SIGNALS if name != "characters"
    ]


def test_a_risk_that_is_no_number_counts_as_the_highest() -> None:
    then = messages(1000)
    broken = [each._replace(risk=math.nan) for each in then]
    assert moved(broken, then)["risk"] == "shifted"


def test_risks_that_are_said_otherwise_stay_in_their_bins() -> None:
    """As `mimamori calibrate` restates them: the messages are the same, and so is what is compared."""
    then, now = messages(1000), messages(1000, seed=1, shift=0.4)

    def less(risk: float) -> float:
        return risk / (risk + 9 * (1 - risk))

    before = compare(expect(then).signals, expect_like(then, now))[0]
    expected = restated(expect(then), less)
    again = [each._replace(risk=less(each.risk)) for each in now]
    edges = {name: binned.edges for name, binned in expected.signals.items()}
    assert compare(expected.signals, count(again, edges))[0].psi == pytest.approx(before.psi, abs=0.01)
    odds = Odds(1.0, -np.log(9))
    assert restated_as(expect(then), odds).signals["risk"].edges == pytest.approx(
        [less(edge) for edge in expect(then).signals["risk"].edges]
    )
    flat = restated(expect(then), lambda _: 0.5)
    assert flat.signals["risk"] == Binned((0.5,), (100, 900))


@given(st.lists(st.floats(0, 1), min_size=1, max_size=40))
def test_bins_hold_every_message_once(risks: list[float]) -> None:
    made = expect([Noted(risk, 1, False, False, False) for risk in risks])
    assert all(sum(binned.counts) == len(risks) for binned in made.signals.values())


@pytest.mark.parametrize(
    ("edges", "counts"),
    [
        ((0.5, 0.5), (1, 1, 1)),
        ((0.5,), (1,)),
        ((0.5,), (0, 0)),
        ((math.inf,), (1, 1)),
        ((0.7, 0.2), (1, 1, 1)),
    ],
)
def test_impossible_bins_are_refused(edges: tuple[float, ...], counts: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="bins"):
        Binned(edges, counts)


def test_what_is_expected_holds_no_text() -> None:
    assert set(Expected.__struct_fields__) == {"messages", "signals"}
