"""Windows and rows: how messages of any length become padded batches of bounded size. Pure."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple


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


def pack(lengths: Sequence[int], budget: int) -> Iterator[list[int]]:
    """Group rows of similar length: yields lists of indices, shortest rows first, each index once.

    Rows x longest row of a group is at most `budget` (a row longer than that travels alone), so a
    run's memory is bounded and little of it is padding.
    """
    group: list[int] = []
    for index in sorted(range(len(lengths)), key=lengths.__getitem__):
        if group and (len(group) + 1) * lengths[index] > budget:
            yield group
            group = []
        group.append(index)
    if group:
        yield group
