"""Who works at the desk, and what each role may do. `review.access` finds out who somebody is."""

from collections.abc import Mapping
from typing import Final, Literal

import msgspec

Role = Literal["reviewer", "lead", "auditor"]
# A lead is a reviewer who may also reopen, hand over others' cases, and see held events. An auditor sees who
# did what, and neither reveals a text nor decides.
ROLES: Final[Mapping[Role, str]] = {
    "reviewer": "Claims cases, reads them, and decides",
    "lead": "Does what a reviewer does; reopens, hands over, and looks after the queue",
    "auditor": "Reads who did what, and when",
}

# Who takes the steps that the desk takes by itself. No person and no program is called so.
DESK: Final = "desk"


class Person(msgspec.Struct, frozen=True):
    """Somebody who is signed in. `id` goes into events, and stays the same; `name` is what colleagues see."""

    id: str
    name: str
    roles: frozenset[Role]

    def may(self, *roles: Role) -> bool:
        """Whether this person has one of these roles."""
        return not self.roles.isdisjoint(roles)
