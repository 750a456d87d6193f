"""The worst errors: which messages to look at first. Their texts stay out unless they are asked for."""

from collections.abc import Sequence
from typing import Final, Literal

import msgspec
import numpy as np

from engine.scores import Scores
from export.evaluating.figures import Flags, Labels, Risks
from export.examples import LabelledExample

MOST: Final = 10
_LONGEST: Final = 2000


class WorstError(msgspec.Struct, frozen=True):
    """A message that was cleared though it is at risk ("missed"), or at_risk though it is not ("alarm").

    `row` is its place in the file. `text` is None where texts were not asked for; characters that cannot be
    seen stand in it as ⟨U+200B⟩.
    """

    kind: Literal["missed", "alarm"]
    row: str
    risk: float
    severity: str | None
    characters: int
    windows: int
    text: str | None


def worst(
    examples: Sequence[LabelledExample],
    places: Sequence[str],
    scores: Sequence[Scores],
    labels: Labels,
    risks: Risks,
    cleared: Flags,
    alarmed: Flags,
    levels: Sequence[str],
    *,
    show_text: bool,
) -> tuple[WorstError, ...]:
    """Up to ten of each kind: those missed by severity, then by the lowest risk, and the surest alarms."""
    grave = {name: index for index, name in enumerate(levels)}
    missed = np.flatnonzero((labels == 1) & cleared).tolist()
    missed.sort(key=lambda index: (-grave.get(examples[index].severity or "", -1), risks[index]))
    alarms = np.flatnonzero((labels == 0) & alarmed).tolist()
    alarms.sort(key=lambda index: -risks[index])
    kinds: list[tuple[Literal["missed", "alarm"], list[int]]] = [("missed", missed), ("alarm", alarms)]
    return tuple(
        WorstError(
            kind=kind,
            row=places[index],
            risk=float(risks[index]),
            severity=examples[index].severity,
            characters=len(examples[index].text),
            windows=scores[index].windows,
            text=visible(examples[index].text[:_LONGEST]) if show_text else None,
        )
        for kind, indices in kinds
        for index in indices[:MOST]
    )


def visible(text: str) -> str:
    """The text with characters that cannot be seen, or that turn others around, written as ⟨U+202E⟩."""
    return "".join(
        letter if letter.isprintable() or letter == "\n" else f"⟨U+{ord(letter):04X}⟩" for letter in text
    )
