"""Users of a real Kafka with ACLs who have exactly the rights of a part of Mimamori, or all but one."""

import msgspec

from mimamori.sandbox import Sandbox
from mimamori.sandbox.secured import login
from schemas.rights import PARTS, Names, Part, Right, rights_of
from worker.kafka.acls import admit

PASSWORD = "only-for-this-test"  # noqa: S105 - its Kafka lives for a minute, on loopback

NOTHING = Right("topic", "", "Read")


class User(msgspec.Struct, frozen=True):
    """A user who has the rights of `part`, all but `lacking` where that is named. Its names are its own."""

    name: str
    part: Part
    lacking: Right = NOTHING

    @property
    def names(self) -> Names:
        """Group and transactional id of its own, so that users never wait for one another's partitions."""
        return Names(group=self.name, transactional_id=f"{self.name}-", platform_group=self.name)

    @property
    def config(self) -> dict[str, str]:
        """Its login, in librdkafka's names."""
        return dict(login(self.name, PASSWORD))

    @property
    def granted(self) -> tuple[Right, ...]:
        """What it may do."""
        return tuple(right for right in rights_of(self.part, self.names) if right != self.lacking)


def whole(part: Part) -> User:
    """A user with exactly the rights of a part."""
    return User(f"whole-{part}", part)


def without_each(part: Part) -> list[User]:
    """For each right of a part, a user who lacks it and has all others."""
    count = len(rights_of(part))
    users = [User(f"{part}-{number}", part) for number in range(count)]
    return [
        msgspec.structs.replace(user, lacking=rights_of(part, user.names)[number])
        for number, user in enumerate(users)
    ]


def admit_all(sandbox: Sandbox) -> None:
    """Make every such user of every part."""
    users = [user for part in PARTS for user in (whole(part), *without_each(part))]
    admit(
        sandbox.admin_config,
        {user.name: PASSWORD for user in users},
        {user.name: user.granted for user in users},
    )
