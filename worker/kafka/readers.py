"""Decides from looks at the group whether a partition has no reader, and whose turn it is to join anew. Pure.

Kafka holds a group for stable whose members have been given less than the whole topic: where a member with a
`group.instance.id` is replaced after the first round of a cooperative rebalance, its successor gets what that
round left, and nobody asks for the second (docs/decisions/0016-a-reader-for-every-partition.md). What nobody
reads then waits without an error anywhere. So the rule here knows no cause: a partition that no member reads
in two looks in a row, while the group says that it is stable, has no reader.

Whoever leaves and joins again makes the group assign everything anew. The members take turns, one more with
each further look: first the one that reads the fewest partitions, as its leaving disturbs the least.
"""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import Final

import msgspec

LOOKS: Final = 2  # in a row, before a partition counts as one without a reader
MOST_DOUBLINGS: Final = 6  # of the looks before the next turn of a member whose turns did not help


class GroupView(msgspec.Struct, frozen=True):
    """What the members of a group read of one topic: of each member's id, the numbers of its partitions."""

    stable: bool
    members: Mapping[str, AbstractSet[int]]


class Readers:
    """Follows one group from look to look, as one of its members."""

    def __init__(self) -> None:
        self._unread: dict[int, int] = {}  # partitions that nobody reads: the number of looks in a row
        self._turns = 0  # of this member, which did not help
        self.missing: list[int] = []  # the partitions without a reader, when the group was last stable

    def look(self, view: GroupView, partitions: int, me: str) -> bool:
        """Take in a look at a topic of so many partitions; return whether the member `me` is to join anew."""
        if not view.stable:  # its assignment is about to change, and says nothing
            self._unread.clear()
            return False
        read = {number for numbers in view.members.values() for number in numbers}
        unread = {n: self._unread.get(n, 0) + 1 for n in range(partitions) if n not in read}
        self._unread = unread
        self.missing = [n for n, looks in unread.items() if looks >= LOOKS or n in self.missing]
        if not unread:
            self._turns = 0
        if me not in view.members:
            return False
        order = sorted(view.members, key=lambda member: (len(view.members[member]), member))
        # Where joining anew was in vain, the whole group does it less often, however many its members are.
        among = len(order) if self._turns else 1
        due = (LOOKS << min(self._turns, MOST_DOUBLINGS)) * among + order.index(me)
        if max(unread.values(), default=0) < due:
            return False
        self._turns += 1
        self._unread.clear()
        return True
