"""Windows and rows: how messages of any length become padded batches of bounded size. Pure."""

from collections.abc import Sequence

import numpy as np


def windows(tokens: Sequence[int], size: int, overlap: int) -> list[Sequence[int]]:
    """Cut `tokens` into windows of at most `size`, neighbours sharing `overlap`.

    What fits is one window, nothing none. The last window ends with the tokens and is kept whole: it starts
    earlier rather than being short, since a few words read alone mislead.
    """
    if not tokens:
        return []
    last = max(0, len(tokens) - size)
    return [tokens[start : start + size] for start in [*range(0, last, size - overlap), last]]


def pack(lengths: Sequence[int], budget: int, run_cost: int = 0) -> list[list[int]]:
    """Group rows of similar length: lists of indices, shortest rows first, each index once.

    Rows x longest row of a group is at most `budget` (a row longer than that travels alone), so a run's
    memory is bounded. Among those groupings the one is taken whose padded tokens, and `run_cost` tokens for
    each group, sum up to the least: exact, by dynamic programming over the rows in order of length.
    """
    order = sorted(range(len(lengths)), key=lengths.__getitem__)
    best = np.zeros(len(order) + 1)  # the cost of the first n rows
    starts = np.zeros(len(order) + 1, np.int64)  # where their last group begins
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
