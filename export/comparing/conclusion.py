"""What the counts of a comparison allow to say, in plain words, and whether NEW may pass."""

from typing import Final

from export.comparing.paired import Paired
from export.comparing.tally import Tallied

FEW: Final = 6  # with fewer messages on which one errs alone, no outcome at all gives p < .05


def conclude(tallied: Tallied) -> list[str]:
    """One sentence per question that the counts answer, the gravest first."""
    if not tallied.messages:
        return ["Nothing was compared."]
    said = []
    if tallied.misses is not None:
        said.append(_of_misses(tallied.misses))
    if tallied.false_alarms is not None:
        said.append(_of_alarms(tallied.false_alarms))
    said += [_of_agreement(tallied), _of_load(tallied)]
    if tallied.misses is None:
        cleared = sum(tallied.table[old][0] for old in (1, 2))
        said.append(
            f"NEW clears {cleared} that OLD left to people. Without labels nobody knows whether it is right; "
            "read those first."
        )
    return said


def is_worse(tallied: Tallied, margin: float | None = None) -> list[str]:
    """Why NEW must not pass; empty where it may. Raises ValueError: there are no labels to judge by.

    NEW is worse where the test shows more misses, or more false alarms. With a `margin` it must be shown not
    to be worse, too: the interval of the difference in misses must end below it.
    """
    if tallied.misses is None and tallied.false_alarms is None:
        raise ValueError("nothing labelled was compared")
    why = [
        f"NEW {what} more often than OLD ({probability(pair.p)})"
        for what, pair in (("misses", tallied.misses), ("raises false alarms", tallied.false_alarms))
        if pair is not None and pair.differs and pair.difference > 0
    ]
    if margin is not None and tallied.misses is None:
        why.append("no message labelled at risk was compared, so nothing is known of misses")
    elif margin is not None and tallied.misses is not None and tallied.misses.interval.high > margin:
        why.append(
            f"it is not shown that NEW misses at most {margin:.1%} more than OLD: it may be "
            f"{tallied.misses.interval.high:.1%}"
        )
    return why


def probability(p: float) -> str:
    """A p as papers print it: p = .45, p = .012, p < .001."""
    if p < 0.001:  # noqa: PLR2004 - said in the docstring
        return "p < .001"
    return "p = 1" if p > 0.995 else f"p = {f'{p:.2g}'.removeprefix('0')}"  # noqa: PLR2004 - rounds to 1


def _of_misses(pair: Paired) -> str:
    found_by_old = pair.of - pair.both - pair.only_old
    return (
        f"NEW misses {pair.only_new} of {found_by_old} that OLD found, and finds {pair.only_old} that OLD "
        f"missed, of {pair.of} at risk: {_verdict(pair, 'misses')}"
    )


def _of_alarms(pair: Paired) -> str:
    return (
        f"NEW raises {pair.only_new} false alarms that OLD did not, and spares {pair.only_old} that OLD "
        f"raised, of {pair.of} not at risk: {_verdict(pair, 'false alarms')}"
    )


def _verdict(pair: Paired, what: str) -> str:
    span = f"{pair.difference:+.1%}, from {pair.interval.low:+.1%} to {pair.interval.high:+.1%}"
    equals = probability(pair.p)
    if pair.differs:
        return f"{equals}, {'more' if pair.difference > 0 else 'fewer'} {what} ({span})."
    alone = pair.only_old + pair.only_new
    if not alone:
        return f"the same {what} on these messages; on others the rates may still differ ({span})."
    few = f"; {alone} messages on which one errs alone can never be enough" if alone < FEW else ""
    return f"{equals}, too few to conclude ({span}{few})."


def _of_agreement(tallied: Tallied) -> str:
    agreement = tallied.agreement
    assert agreement is not None, "some messages were compared"  # noqa: S101 - asked by the caller
    kappa = "" if agreement.kappa is None else f", kappa {agreement.kappa:.2f}"
    return (
        f"{tallied.changed} of {tallied.messages} verdicts change ({tallied.changed / tallied.messages:.1%}; "
        f"they agree on {agreement.same:.1%}, from {agreement.interval.low:.1%} to "
        f"{agreement.interval.high:.1%}{kappa})."
    )


def _of_load(tallied: Tallied) -> str:
    old, new = tallied.to_people
    return (
        f"People would look at {new} messages in place of {old} of {tallied.messages} "
        f"({new / tallied.messages:.1%} in place of {old / tallied.messages:.1%}), quality samples not "
        "counted."
    )
