"""The scores that a reading gives: numbers only, safe to cache. The policy turns them into a verdict."""

import math
from typing import Final

import msgspec

from schemas.events import Highlight

UNGRADABLE: Final = (math.nan, math.nan)  # as many as the fewest levels
"""The severity of a message that the severity stage fails on: not a number, as a broken engine would give.

The label then has no severity, the message comes first in the review queue, and its scores are never cached.
"""


class Scores(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The scores of one message; if it was read in several windows, those of the riskiest one.

    `risk` is in [0, 1]. `severity` has one probability per level, least severe first, or is None where the
    severity stage has not run; UNGRADABLE, or another that is not finite, counts as no severity. `truncated`:
    a part of the message was not read. `obfuscated`: a part of it is disguised so that no model can read it.
    `language` is set if the message is surely in a language that the task does not cover; it includes the
    script where the script alone decided ("ru-Cyrl"). `highlights` are the spans that raised the risk, where
    they were asked for and the risk is high enough for a person to look; None where finding them failed.
    `depth` is how many layers of the network were read to decide, None where that is not known.
    """

    risk: float
    severity: tuple[float, ...] | None
    windows: int
    truncated: bool
    obfuscated: bool = False
    language: str | None = None
    highlights: tuple[Highlight, ...] | None = ()
    depth: int | None = None
