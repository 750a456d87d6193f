"""Who a token's claims speak of, and which roles they have."""

from collections.abc import Mapping
from typing import Final

from review.access.errors import SignInRefusedError
from review.people import DESK, Person, Role
from review.settings_access import AccessSettings

# What events take as an id, and what a page can show as a name.
MAX_ID: Final = 256
MAX_NAME: Final = 120
_NAMES: Final = ("name", "preferred_username", "email")


def person_from(claims: Mapping[str, object], settings: AccessSettings) -> Person:
    """The person, with those roles that the settings give to values of the roles' claim; perhaps none.

    Raises SignInRefusedError: the claims name nobody.
    """
    if "email" in {settings.id_claim, settings.roles_claim} and claims.get("email_verified") is False:
        raise SignInRefusedError("email_not_verified")  # anybody could have typed it there
    person_id = claims.get(settings.id_claim)
    if not isinstance(person_id, str) or not 0 < len(person_id) <= MAX_ID or not person_id.isprintable():
        raise SignInRefusedError("no_id")
    if person_id == DESK:
        raise SignInRefusedError("reserved_id")
    name = next((found for each in _NAMES if (found := _shown(claims.get(each)))), person_id)
    values = _values(claims, settings.roles_claim)
    granted: dict[Role, frozenset[str]] = {
        "reviewer": settings.role_reviewer,
        "lead": settings.role_lead,
        "auditor": settings.role_auditor,
    }
    roles = frozenset(role for role, names in granted.items() if not names.isdisjoint(values))
    return Person(person_id, name[:MAX_NAME], roles)


def _shown(value: object) -> str:
    return " ".join(value.split()) if isinstance(value, str) and value.isprintable() else ""


def _values(claims: Mapping[str, object], path: str) -> frozenset[str]:
    """The texts at a claim: itself, or those in its list. A name with dots in it comes before a way."""
    found: object = claims.get(path)
    if found is None:
        found = claims
        for step in path.split("."):
            found = found.get(step) if isinstance(found, Mapping) else None
    if isinstance(found, str):
        return frozenset({found})
    return (
        frozenset(each for each in found if isinstance(each, str)) if isinstance(found, list) else frozenset()
    )
