"""Windows and rows: how messages of any length become padded batches of bounded size. Pure."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np


class Windows(NamedTuple):
    """A message cut for reading. `truncated`: the last tokens did not fit into the windows allowed."""

    tokens: list[Sequence[int]]
    truncated: bool


def windows(tokens: Sequence[int], size: int, overlap: int, limit: int) -> Windows:
    """Cut `tokens` into at most `limit` windows of at most `size`, neighbours sharing `overlap`.

    A message that fits is one window, an empty one none. The last window ends with the message and
    is kept whole: it starts earlier rather than being short, since a few words read alone mislead.
    """
    if not tokens:
        return Windows([], truncated=False)
    step = size - overlap
    needed = 1 + max(0, -(-(len(tokens) - size) // step))
    starts = [min(number * step, max(0, len(tokens) - size)) for number in range(min(needed, limit))]
    return Windows([tokens[start : start + size] for start in starts], truncated=needed > limit)


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
