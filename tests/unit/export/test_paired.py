"""The statistics of two bundles on the same messages, against brute force and a published closed form."""

import math
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import multinomial
from sklearn.metrics import cohen_kappa_score

from export.comparing.conclusion import conclude, is_worse, probability
from export.comparing.paired import mcnemar, paired, tango
from export.comparing.tally import VERDICTS, Said, Tally
from schemas.vocabulary import Verdict

ALONE = st.integers(0, 12)
TABLES = st.tuples(st.integers(1, 300), st.integers(0, 40), st.integers(0, 40)).filter(
    lambda counts: counts[1] + counts[2] <= counts[0]
)


@given(ALONE, ALONE)
def test_mcnemar_is_the_share_of_coin_flips_at_least_as_unlikely(only_old: int, only_new: int) -> None:
    flips = only_old + only_new
    seen = math.comb(flips, only_old)
    expected = sum(math.comb(flips, k) for k in range(flips + 1) if math.comb(flips, k) <= seen) / 2**flips
    assert mcnemar(only_old, only_new) == pytest.approx(expected)
    assert mcnemar(only_old, only_new) == mcnemar(only_new, only_old)


@given(TABLES)
def test_the_interval_holds_the_difference_and_turns_with_the_sides(counts: tuple[int, int, int]) -> None:
    of, only_old, only_new = counts
    found, turned = tango(of, only_old, only_new), tango(of, only_new, only_old)
    assert -1 <= found.low <= (only_new - only_old) / of <= found.high <= 1
    assert (found.low, found.high) == pytest.approx((-turned.high, -turned.low), abs=1e-6)


@given(TABLES)
def test_the_ends_are_roots_of_the_published_polynomial(counts: tuple[int, int, int]) -> None:
    """Yang, Sun and Hardin (2012) solve Tango's equations in closed form: a polynomial of degree four."""
    n, c, b = counts
    g = 1.959963984540054**2
    m0 = n**2 * (n / g + 1) ** 2
    m1 = -n * (b - c) * (n / g + 1) * (4 * n / g + 1)
    m2 = 2 * n * (b - c) ** 2 * (3 * n / g + 2) / g - n**2 * ((b + c) / g + 1)
    m3 = n * (b - c) * (2 * (b + c) / g + 1) - (b - c) ** 3 * (4 * n / g + 1) / g
    m4 = (b - c) ** 2 * ((b - c) ** 2 / g - (b + c)) / g
    found = tango(n, c, b)
    for end in (found.low, found.high):
        if abs(end) < 1:
            value = np.polyval([1, m1 / m0, m2 / m0, m3 / m0, m4 / m0], end)
            assert value == pytest.approx(0, abs=1e-9)


def test_the_interval_holds_the_true_difference_about_as_often_as_it_says() -> None:
    of, shares = 20, (0.15, 0.05, 0.8)
    held = sum(
        multinomial.pmf((old, new, of - old - new), of, shares)
        for old, new in product(range(of + 1), repeat=2)
        if old + new <= of and tango(of, old, new).low <= -0.1 <= tango(of, old, new).high
    )
    assert 0.93 <= held <= 0.99


def test_nothing_to_compare_is_no_comparison() -> None:
    assert paired(0, 0, 0, 0) is None
    assert mcnemar(0, 0) == 1


PAIRS = st.lists(
    st.tuples(st.sampled_from(VERDICTS), st.sampled_from(VERDICTS), st.sampled_from([True, False, None])),
    max_size=60,
)


def tally(pairs: list[tuple[Verdict, Verdict, bool | None]], listed: int = 5) -> Tally:
    counted = Tally(listed)
    for number, (old, new, at_risk) in enumerate(pairs):
        counted.add(f"row {number}", Said(old, 0.5), Said(new, 0.5), at_risk=at_risk)
    return counted


@given(PAIRS)
def test_what_is_counted_is_what_was_given(pairs: list[tuple[Verdict, Verdict, bool | None]]) -> None:
    counted = tally(pairs).result()
    assert sum(map(sum, counted.table)) == counted.messages == len(pairs)
    assert counted.changed == sum(old != new for old, new, _ in pairs)
    missed = [(old == "clear", new == "clear") for old, new, at_risk in pairs if at_risk]
    if missed:
        assert counted.misses is not None
        assert counted.misses.only_new == sum(new and not old for old, new in missed)
        assert counted.misses.only_old == sum(old and not new for old, new in missed)
        assert counted.misses.of == len(missed)
    else:
        assert counted.misses is None
    if counted.agreement is not None and counted.agreement.kappa is not None:
        old, new = zip(*[(old, new) for old, new, _ in pairs], strict=True)
        assert counted.agreement.kappa == pytest.approx(cohen_kappa_score(old, new))


def test_changes_that_clear_stand_first_and_no_kind_crowds_out_another() -> None:
    many = [("clear", "at_risk", None)] * 50 + [("at_risk", "clear", None)] * 2
    changes = tally(many, listed=3).result().changes  # type: ignore[arg-type] # verdicts, as literals
    assert [change.new for change in changes] == ["clear", "clear", "at_risk", "at_risk", "at_risk"]


def labelled(both: int, only_old: int, only_new: int, neither: int) -> Tally:
    """Messages at risk, by who misses them."""
    pairs: list[tuple[Verdict, Verdict, bool | None]] = [("clear", "clear", True)] * both
    pairs += [("clear", "at_risk", True)] * only_old
    pairs += [("at_risk", "clear", True)] * only_new
    pairs += [("at_risk", "at_risk", True)] * neither
    return tally(pairs)


def test_the_conclusion_is_a_sentence_that_a_safety_lead_understands() -> None:
    said = conclude(labelled(4, 5, 2, 39).result())[0]
    assert said.startswith(
        "NEW misses 2 of 41 that OLD found, and finds 5 that OLD missed, of 50 at risk: p = .45, too few "
        "to conclude"
    )
    better = conclude(labelled(4, 15, 2, 39).result())[0]
    assert "p = .0023, fewer misses" in better


def test_only_a_shown_difference_is_worse_unless_a_margin_asks_for_more() -> None:
    assert is_worse(labelled(0, 2, 3, 40).result()) == []
    assert is_worse(labelled(0, 0, 12, 40).result()) == ["NEW misses more often than OLD (p < .001)"]
    assert is_worse(labelled(0, 2, 3, 40).result(), margin=0.05)
    assert is_worse(labelled(0, 20, 3, 400).result(), margin=0.05) == []
    unlabelled = tally([("clear", "clear", None)]).result()
    with pytest.raises(ValueError, match="labelled"):
        is_worse(unlabelled)


@pytest.mark.parametrize(
    ("p", "printed"), [(0.453, "p = .45"), (0.0121, "p = .012"), (1e-9, "p < .001"), (1.0, "p = 1")]
)
def test_a_p_is_printed_as_papers_do(p: float, printed: str) -> None:
    assert probability(p) == printed
