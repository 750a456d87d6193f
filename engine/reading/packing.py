"""Cuts long messages into windows, and groups rows into padded batches of bounded size. Pure."""

from collections.abc import Sequence

import numpy as np


def windows(tokens: Sequence[int], size: int, overlap: int) -> list[Sequence[int]]:
    """Cut `tokens` into windows of at most `size`, with `overlap` tokens shared by neighbours.

    Tokens that fit give one window, no tokens give none. The last window ends with the last token and has
    full length: it starts earlier instead of being short, because a few words read alone mislead.
    """
    if not tokens:
        return []
    last = max(0, len(tokens) - size)
    return [tokens[start : start + size] for start in [*range(0, last, size - overlap), last]]


def pack(lengths: Sequence[int], budget: int, run_cost: int = 0) -> list[list[int]]:
    """Group rows of similar length. Returns lists of indices, shortest rows first, each index once.

    A group's rows x longest row is at most `budget` (a longer row gets a group of its own), so the memory of
    a run is bounded. Among all such groupings, the one with the least cost is chosen, where the cost is the
    number of padded tokens plus `run_cost` for each group. Dynamic programming over the sorted rows makes
    this exact.
    """
    order = sorted(range(len(lengths)), key=lengths.__getitem__)
    best = np.zeros(len(order) + 1)  # the cost of the first n rows
    starts = np.zeros(len(order) + 1, np.int64)  # where the last group of the first n rows begins
    for end in range(1, len(order) + 1):
        longest = lengths[order[end - 1]]
        first = max(0, end - max(1, budget // longest))
        costs = best[first:end] + longest * np.arange(end - first, 0, -1)
        choice = int(costs.argmin())
        best[end], starts[end] = costs[choice] + run_cost, first + choice
    groups = []
    end = len(order)
    while end:
        start = int(starts[end])
        groups.append(order[start:end])
        end = start
    return groups[::-1]
