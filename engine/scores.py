"""What a reading gives: numbers only, safe to cache. The policy turns them into a verdict."""

import math
from typing import Final

import msgspec

UNGRADABLE: Final = (math.nan, math.nan)  # as many as the fewest levels
"""The severity of a message that the severity stage fails on: no number, as a broken engine gives.

So it is none on the label, comes first in the review queue, and is never cached.
"""


class Scores(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The scores of one message, of its riskiest window where it was read in several.

    `risk` is in [0, 1]. `severity` has one probability per level, least severe first, or is None
    where the severity stage has not run; what holds no finite numbers (UNGRADABLE) is no severity either.
    `truncated`: some of the message was not read at all.
    `obfuscated`: some of it is disguised so that no model can read it. `language` is the language it is
    surely written in where the task does not cover that, with the script where that alone tells ("ru-Cyrl").
    """

    risk: float
    severity: tuple[float, ...] | None
    windows: int
    truncated: bool
    obfuscated: bool = False
    language: str | None = None
