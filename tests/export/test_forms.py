"""Every form of attention gives the same numbers, whatever the scores."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from export.exporting.forms import BLOCKED, Part, joined, merged

HEADS, GROUPS, WIDTH = 2, 3, 8


def _parts(rows: int, shared: int, own: int, scale: float, seed: int) -> tuple[torch.Tensor, Part, Part]:
    """Random queries, prefix and own tokens; `scale` is about what the scores reach."""
    chance = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=chance, dtype=torch.float32)

    queries = draw(rows, HEADS, GROUPS * own, WIDTH) * scale / WIDTH**0.5
    causal = (torch.arange(own)[None, :] > torch.arange(own)[:, None]).float() * BLOCKED
    prefix = Part(draw(1, HEADS, shared, WIDTH), draw(1, HEADS, shared, WIDTH), None)
    mine = Part(draw(rows, HEADS, own, WIDTH), draw(rows, HEADS, own, WIDTH), causal.repeat(GROUPS, 1))
    return queries, prefix, mine


@given(
    rows=st.integers(1, 3),
    shared=st.integers(0, 20),
    own=st.integers(1, 6),
    scale=st.floats(0.01, 12),
    seed=st.integers(0, 2**31),
)
def test_merged_is_joined(rows: int, shared: int, own: int, scale: float, seed: int) -> None:
    queries, prefix, mine = _parts(rows, shared, own, scale, seed)
    expected = joined(queries, prefix, mine, lambda scores: scores)
    actual = merged(queries, prefix, mine, lambda scores: scores)
    torch.testing.assert_close(actual, expected, atol=2e-4, rtol=0)


@pytest.mark.parametrize("lift", [-300.0, 0.0, 300.0])
def test_merged_is_finite_and_right_where_one_part_outweighs_the_other(lift: float) -> None:
    """A key along every query: the prefix's scores are `lift` above the own ones, or below."""
    queries, prefix, mine = _parts(2, 5, 4, 1.0, 7)
    direction = torch.zeros(WIDTH)
    direction[0] = 1.0
    queries = queries.clone()
    queries[..., 0] = 1.0
    lifted = Part(prefix.keys + lift * direction, prefix.values, None)
    expected = joined(queries, lifted, mine, lambda scores: scores)
    actual = merged(queries, lifted, mine, lambda scores: scores)
    assert torch.isfinite(actual).all()
    torch.testing.assert_close(actual, expected, atol=1e-3, rtol=0)


@pytest.mark.parametrize(
    ("apart", "own"), [(40.0, 38.0), (85.0, 80.0), (85.0, 90.0), (85.0, 130.0), (20.0, 99.0)]
)
def test_merged_is_right_where_the_first_key_is_far_below_another(apart: float, own: float) -> None:
    """One query, two prefix keys whose scores are 0 and `apart`, one own token that scores `own`."""
    queries = torch.ones(1, 1, 1, 1)
    prefix = Part(torch.tensor([[[[0.0], [apart]]]]), torch.tensor([[[[5.0], [0.0]]]]), None)
    mine = Part(torch.tensor([[[[own]]]]), torch.ones(1, 1, 1, 1), None)
    expected = joined(queries, prefix, mine, lambda scores: scores)
    torch.testing.assert_close(
        merged(queries, prefix, mine, lambda scores: scores), expected, atol=1e-4, rtol=0
    )


def test_merged_is_not_a_number_rather_than_wrong_where_the_first_key_is_nothing() -> None:
    queries = torch.ones(1, 1, 1, 1)
    prefix = Part(torch.tensor([[[[0.0], [200.0]]]]), torch.tensor([[[[5.0], [0.0]]]]), None)
    mine = Part(torch.tensor([[[[205.0]]]]), torch.ones(1, 1, 1, 1), None)
    assert torch.isnan(merged(queries, prefix, mine, lambda scores: scores)).all()


def test_a_cap_holds_in_both_forms() -> None:
    queries, prefix, mine = _parts(2, 9, 4, 20.0, 3)

    def cap(scores: torch.Tensor) -> torch.Tensor:
        return torch.tanh(scores / 5) * 5

    expected = joined(queries, prefix, mine, cap)
    torch.testing.assert_close(merged(queries, prefix, mine, cap), expected, atol=1e-4, rtol=0)
    plain = joined(queries, prefix, mine, lambda scores: scores)
    assert not torch.allclose(plain, expected, atol=1e-2)
