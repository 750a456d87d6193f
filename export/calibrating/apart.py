"""Keeps the examples of a calibration apart from those that the heads were fitted on, as far as is known.

A bundle holds no text, and no digest of a single one, since a short text can be guessed from its digest. It
holds one digest of all examples that `adapt` got. So it is known whether these are the same ones; whether
some of them are among those is known only where both files are given.
"""

from collections.abc import Sequence

import msgspec

from engine.bundle import Calibration
from engine.errors import TaskError
from export.adapting.adapt import examples_digest
from export.checking import normal, places_of
from export.examples import LabelledExample


class Apart(msgspec.Struct, frozen=True):
    """How many examples were used, of how many, and which were left out.

    `used_to_adapt` counts those left out because `adapt` had them; None where the bundle was adapted and the
    examples for that were not given, so that nobody knows whether there are any.
    """

    examples: int
    given: int
    repeated: int
    used_to_adapt: int | None


def keep_apart(
    examples: Sequence[LabelledExample],
    calibration: Calibration | None,
    adapted_on: Sequence[LabelledExample] | None,
) -> tuple[list[LabelledExample], Apart]:
    """Return the examples that may be used, each text once, whatever its case, spaces and disguise.

    Raises TaskError: they are those that the bundle was adapted on; `adapted_on` are not those; one text is
    labelled in both ways.
    """
    known = calibration.adapted_digest if calibration else ""
    if known and examples_digest(examples) == known:
        raise TaskError(
            "the bundle was adapted on these very examples, and a bound on them would not hold for others: "
            "give examples that were kept apart"
        )
    if adapted_on is not None and (not known or examples_digest(adapted_on) != known):
        raise TaskError(
            "the bundle was not adapted on the examples of --adapted-on: give the file that adapt got"
            if known
            else "--adapted-on: the bundle was adapted on no examples"
        )
    used = {normal(example.text) for example in adapted_on or ()}
    places = places_of(examples)
    first: dict[str, int] = {}
    kept: list[LabelledExample] = []
    repeated = overlapping = 0
    for number, example in enumerate(examples):
        text = normal(example.text)
        if text in used:
            overlapping += 1
        elif (earlier := first.setdefault(text, number)) == number:
            kept.append(example)
        elif examples[earlier].at_risk != example.at_risk:
            raise TaskError(
                f"{places[earlier]} and {places[number]} are one text, labelled at risk and not: keep one"
            )
        else:
            repeated += 1
    unknown = known and adapted_on is None
    told = Apart(len(kept), len(examples), repeated, None if unknown else overlapping)
    return kept, told
