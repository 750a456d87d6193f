"""Programs that work at the desk by its API: a token each, and the people on whose behalf they act.

A file names them, one a line: `name roles sha256`, with the roles joined by commas. Tokens are not in it,
only their digests: `mimamori review-token` makes both. A program sends `Authorization: Bearer mmr_…`.
Where several people work behind it, `On-Behalf-Of` says who: a case must not be read twice by one person, and
the audit log names whoever looked. The desk trusts the program in this.
"""

import hashlib
import hmac
import secrets
from pathlib import Path
from typing import Final, get_args

from aiohttp import web

from review.access.errors import NotAllowedError, NotSignedInError
from review.errors import DeskError
from review.people import DESK, Person, Role

PREFIX: Final = "mmr_"
ON_BEHALF_OF: Final = "On-Behalf-Of"
MAX_NAME: Final = 120
_PARTS: Final = 3


def new_token() -> str:
    """A token that nobody can guess."""
    return PREFIX + secrets.token_urlsafe(32)


def line_of(name: str, roles: frozenset[Role], token: str) -> str:
    """The line of the file for this token. Raises DeskError: the name has a space in it, or no role."""
    fits = name.isprintable() and 0 < len(name) <= MAX_NAME and not set(name) & set(" /#")
    if not roles or not fits or name == DESK:
        raise DeskError("a program needs a role, and a name without spaces, / and #, which is not `desk`")
    return f"{name} {','.join(sorted(roles))} {_digest(token)}"


class Services:
    """The programs of a file; none where there is no file. Raises DeskError naming the line that is wrong."""

    def __init__(self, path: Path | None) -> None:
        self._programs: dict[str, Person] = {}
        if path is None:
            return
        try:
            lines = path.read_text().splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise DeskError(
                f"cannot read the tokens of programs in {path} ({type(error).__name__})"
            ) from None
        for number, line in enumerate(lines, start=1):
            if line.strip() and not line.startswith("#"):
                digest, program = _read(line, f"{path}, line {number}")
                self._programs[digest] = program

    def program(self, request: web.Request) -> Person | None:
        """Who asks; None where the request brings no token of this kind.

        Raises NotSignedInError: nobody has that token. NotAllowedError: the name acted for cannot be one.
        """
        kind, _, token = request.headers.get("Authorization", "").partition(" ")
        if kind.lower() != "bearer" or not token.startswith(PREFIX):
            return None
        wanted = _digest(token)
        for digest, program in self._programs.items():
            if hmac.compare_digest(digest, wanted):
                return _acting(program, request.headers.get(ON_BEHALF_OF))
        raise NotSignedInError


def _acting(program: Person, name: str | None) -> Person:
    if name is None:
        return program
    name = name.strip()
    if not name or len(name) > MAX_NAME or not name.isprintable():
        raise NotAllowedError(f"{ON_BEHALF_OF} must be a name of at most {MAX_NAME} printable characters")
    return Person(f"{program.id}/{name}", name, program.roles)


def _read(line: str, place: str) -> tuple[str, Person]:
    parts = line.split()
    if len(parts) != _PARTS:
        raise DeskError(f"{place}: must be `name roles sha256`, see `mimamori review-token`")
    name, named, digest = parts
    if name == DESK:
        raise DeskError(f"{place}: {DESK} is what the desk calls itself: choose another name")
    roles: set[Role] = {role for role in get_args(Role) if role in named.split(",")}
    if unknown := sorted(set(named.split(",")) - set(roles)):
        raise DeskError(f"{place}: no such role: {', '.join(unknown)}")
    if len(digest) != hashlib.sha256().digest_size * 2 or set(digest) - set("0123456789abcdef"):
        raise DeskError(f"{place}: the third part must be a SHA-256 in hex, see `mimamori review-token`")
    return digest, Person(name, name, frozenset(roles))


def _digest(token: str) -> str:
    # No slow hash: the token has 256 random bits, so that nobody can go through what it may be.
    return hashlib.sha256(token.encode()).hexdigest()
