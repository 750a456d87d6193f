"""The scores that a reading gives: numbers only, safe to cache. The policy turns them into a verdict."""

import msgspec


class Scores(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The scores of one message; if it was read in several windows, those of the riskiest one.

    `risk` is in [0, 1]. `severity` has one probability per level, least severe first, or is None where the
    severity stage has not run. `truncated`: a part of the message was not read. `obfuscated`: a part of it is
    disguised so that no model can read it. `language` is set if the message is surely in a language that the
    task does not cover; it includes the script where the script alone decided ("ru-Cyrl").
    """

    risk: float
    severity: tuple[float, ...] | None
    windows: int
    truncated: bool
    obfuscated: bool = False
    language: str | None = None
