"""What a reading gives: numbers only, safe to cache. The policy turns them into a verdict."""

import msgspec


class Scores(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The scores of one message, of its riskiest window where it was read in several.

    `risk` is in [0, 1]. `severity` has one probability per level, least severe first, or is None
    where the severity stage has not run. `truncated`: some of the message was not read at all.
    `obfuscated`: some of it is disguised so that no model can read it. `language` is the language it is
    surely written in where the task does not cover that, with the script where that alone tells ("ru-Cyrl").
    """

    risk: float
    severity: tuple[float, ...] | None
    windows: int
    truncated: bool
    obfuscated: bool = False
    language: str | None = None
