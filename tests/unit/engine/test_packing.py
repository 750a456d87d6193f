from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from engine.reading.packing import pack, windows

LENGTHS = st.lists(st.integers(1, 300), max_size=80)


@given(LENGTHS, st.integers(1, 2048))
def test_every_row_travels_exactly_once(lengths: list[int], budget: int) -> None:
    assert sorted(index for group in pack(lengths, budget) for index in group) == list(range(len(lengths)))


@given(LENGTHS, st.integers(1, 2048))
def test_a_group_keeps_the_budget_unless_it_is_one_long_row(lengths: list[int], budget: int) -> None:
    for group in pack(lengths, budget):
        assert len(group) == 1 or len(group) * max(lengths[index] for index in group) <= budget


@given(LENGTHS, st.integers(1, 2048))
def test_groups_hold_rows_of_similar_length(lengths: list[int], budget: int) -> None:
    order = [lengths[index] for group in pack(lengths, budget) for index in group]
    assert order == sorted(lengths)


def _cost(groups: list[list[int]], lengths: list[int], run_cost: int) -> int:
    return sum(len(group) * max(lengths[index] for index in group) + run_cost for group in groups)


@given(st.lists(st.integers(1, 60), min_size=1, max_size=9), st.integers(1, 200), st.integers(0, 40))
def test_no_other_cut_of_the_sorted_rows_pads_less(lengths: list[int], budget: int, run_cost: int) -> None:
    order = sorted(range(len(lengths)), key=lengths.__getitem__)
    best = _cost(pack(lengths, budget, run_cost), lengths, run_cost)
    for cuts in range(2 ** (len(order) - 1)):
        groups, group = [], [order[0]]
        for place, index in enumerate(order[1:]):
            if cuts >> place & 1:
                groups.append(group)
                group = []
            group.append(index)
        groups.append(group)
        fits = all(len(each) == 1 or len(each) * lengths[each[-1]] <= budget for each in groups)
        assert not fits or best <= _cost(groups, lengths, run_cost)


@given(st.integers(0, 3000), st.integers(1, 300), st.data())
def test_windows_cover_the_message_in_order(count: int, size: int, data: st.DataObject) -> None:
    overlap = data.draw(st.integers(0, size - 1))
    cut = windows(list(range(count)), size, overlap)
    assert all(0 < len(window) <= size for window in cut)
    assert {token for window in cut for token in window} == set(range(count))
    for before, after in pairwise(cut):
        assert after[0] <= before[-1] + 1 - overlap
        assert after[0] > before[0]


def test_a_message_that_fits_is_read_whole() -> None:
    assert windows([1, 2, 3], 3, 1) == [[1, 2, 3]]


def test_the_last_window_is_not_a_scrap() -> None:
    assert windows([1, 2, 3, 4], 3, 0) == [[1, 2, 3], [2, 3, 4]]


def test_an_empty_message_has_no_window() -> None:
    assert windows([], 3, 1) == []
