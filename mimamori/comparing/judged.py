"""What people decided on the cases of a canary and of the bundle that runs, so that it can be compared."""

from collections import Counter

import msgspec

from mimamori.comparing.decided import Decided
from mimamori.comparing.stretch import Stretch
from schemas.events import Origin


class Judged(msgspec.Struct, frozen=True):
    """What people decided on a side's cases: on the escalated, and on the samples of what it cleared."""

    escalated: int
    escalated_at_risk: int
    samples: int
    samples_at_risk: int

    @property
    def agreed(self) -> str:
        """With how many of its escalations they agreed, of those that they decided on."""
        return f"{self.escalated_at_risk:,} of {self.escalated:,}"


class Both(msgspec.Struct, frozen=True):
    """Both sides, of whose cases people decided on a part."""

    old: Judged
    new: Judged

    @property
    def one_sided(self) -> bool:
        """Whether they decided on what one side sent them, and on nothing of the other's."""
        return (self.new.escalated == 0) != (self.old.escalated == 0)

    def confirmed(self, stretch: Stretch) -> tuple[int, int, float]:
        """Of how many escalations they agreed, NEW's and OLD's; and NEW's part of the messages for that.

        Zeros where they did not decide on both.
        """
        new, old = self.new, self.old
        if not (new.escalated and old.escalated):
            return 0, 0, stretch.share
        seen = new.escalated / stretch.new.sent, old.escalated / stretch.old.sent
        return new.escalated_at_risk, old.escalated_at_risk, _share_of_decided(stretch.share, *seen)

    def missed(self, stretch: Stretch) -> tuple[int, int, float]:
        """How many samples of what was cleared are at risk, NEW's and OLD's; and NEW's part of all."""
        new, old, share = self.new, self.old, stretch.share
        if new.samples and old.samples:
            cleared = stretch.new.messages - stretch.new.sent, stretch.old.messages - stretch.old.sent
            share = _share_of_decided(share, new.samples / cleared[0], old.samples / cleared[1])
        return new.samples_at_risk, old.samples_at_risk, share


def judged(stretch: Stretch, decided: dict[Origin, Decided], left_out: Counter[str]) -> Both:
    """Count them. Who is unsure counts for neither; what is outside of the stretch is counted as left out."""
    people = {True: Counter[str](), False: Counter[str]()}
    for origin, decision in decided.items():
        if origin not in stretch.new_of:
            left_out["decisions on messages outside of the stretch"] += 1
        elif decision.finding != "unsure":
            kind = "samples" if origin in stretch.cleared else "escalated"
            count = people[stretch.new_of[origin]]
            count[kind] += 1
            count[f"{kind}_at_risk"] += decision.finding == "at_risk"
    old, new = (
        Judged(each["escalated"], each["escalated_at_risk"], each["samples"], each["samples_at_risk"])
        for each in (people[False], people[True])
    )
    return Both(old, new)


def _share_of_decided(share: float, new: float, old: float) -> float:
    """NEW's part of the messages, where such parts of both sides' cases are decided."""
    odds = share / (1 - share) * new / old
    return odds / (1 + odds)
