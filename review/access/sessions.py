"""Who is signed in: sessions in a small database in the desk's folder, so that a restart ends none of them.

The browser holds a random token, and the database its hash: whoever reads the file cannot act as anyone. A
session ends when nothing was asked for the idle time, at its last moment, and at once at sign-out, also where
the identity provider says so.
"""

import os
import secrets
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from hashlib import sha256
from hmac import compare_digest
from hmac import digest as hmac_digest
from pathlib import Path
from typing import Final

import msgspec

from review.access.logout import Ended
from review.errors import DeskError
from review.people import Person

FILE: Final = "sessions.sqlite"
_TABLES: Final = """
CREATE TABLE IF NOT EXISTS sessions (
    digest BLOB PRIMARY KEY, person BLOB NOT NULL, seen REAL NOT NULL, until REAL NOT NULL, id_token TEXT,
    sub TEXT, sid TEXT
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS secret (only_one INTEGER PRIMARY KEY CHECK (only_one = 1), value BLOB NOT NULL);
"""
# What a file of an earlier release lacks: the provider ends none of its sessions, but those are short.
_LATER: Final = ("sub", "sid")
# How exactly `seen` is kept: a session is written at most so often, and not with each request.
_SEEN_EVERY_S: Final = 20.0


class SignedIn(msgspec.Struct, frozen=True):
    """Who has signed in. `id_token` is the identity provider's, `at_provider` its names for the session."""

    person: Person
    id_token: str | None = None
    at_provider: Ended = Ended(None, None)


class Session(msgspec.Struct, frozen=True):
    """Somebody is signed in, until this moment at the latest. `id_token` is the identity provider's."""

    person: Person
    until: float
    id_token: str | None = None


class Sessions:
    """The sessions of one desk.

    Args:
        folder: The desk's folder; None keeps sessions in memory, and a restart ends them.
        idle_s: A session ends when nothing was asked for so many seconds.
        longest_s: It ends so many seconds after the sign-in, whatever was asked.
        now: The time in seconds, as `time.time` gives it.

    Raises DeskError: the file is none that can be read.
    """

    def __init__(
        self, folder: Path | None, *, idle_s: float, longest_s: float, now: Callable[[], float] = time.time
    ) -> None:
        self._idle_s = idle_s
        self._longest_s = longest_s
        self._now = now
        try:
            self._database = _opened(folder)
            self._secret = self._kept_secret()
        except (OSError, sqlite3.Error) as error:
            raise DeskError(
                f"cannot keep sessions in {folder}/{FILE}: {error}. Remove the file: people sign in again"
            ) from None

    def open(self, signed: SignedIn) -> str:
        """Sign somebody in. Returns the token that their browser shows from now on."""
        now = self._now()
        ended = (now, now - self._idle_s)
        self._database.execute("DELETE FROM sessions WHERE until <= ? OR seen <= ?", ended)
        token = secrets.token_urlsafe(32)
        self._database.execute(
            "INSERT INTO sessions VALUES (?, ?, ?, ?, ?, ?, ?)",
            (
                _digest(token),
                msgspec.json.encode(signed.person),
                now,
                now + self._longest_s,
                signed.id_token,
                signed.at_provider.sub,
                signed.at_provider.sid,
            ),
        )
        return token

    def find(self, token: str, *, used: bool = True) -> Session | None:
        """The session of this token, unless it has ended. `used`: it counts as used now."""
        now = self._now()
        row = self._database.execute(
            "SELECT person, seen, until, id_token FROM sessions WHERE digest = ?", (_digest(token),)
        ).fetchone()
        if row is None:
            return None
        person, seen, until, id_token = row
        if now >= until or now >= seen + self._idle_s:
            self.close(token)
            return None
        if used and now >= seen + min(_SEEN_EVERY_S, self._idle_s / 10):
            self._database.execute("UPDATE sessions SET seen = ? WHERE digest = ?", (now, _digest(token)))
        return Session(msgspec.json.decode(person, type=Person), until, id_token)

    def close(self, token: str) -> None:
        """End this token's session; its token is worth nothing from now on."""
        self._database.execute("DELETE FROM sessions WHERE digest = ?", (_digest(token),))

    def close_ended(self, ended: Ended) -> int:
        """End the sessions that have ended at the identity provider. Returns how many.

        A session that the provider gave no id to ends with any of its subject's.
        """
        if ended.sid is None:
            found = self._database.execute("DELETE FROM sessions WHERE sub = ?", (ended.sub,))
        else:
            found = self._database.execute(
                "DELETE FROM sessions "
                "WHERE sid = ?1 AND (?2 IS NULL OR sub = ?2) OR sid IS NULL AND sub = ?2",
                (ended.sid, ended.sub),
            )
        return found.rowcount

    def csrf(self, bound_to: str) -> str:
        """The token of forms for this session or person; a page elsewhere cannot know it."""
        return hmac_digest(self._secret, b"form:" + bound_to.encode(), "sha256").hex()

    def csrf_fits(self, bound_to: str, given: str) -> bool:
        """Whether a form's token is the right one."""
        return compare_digest(self.csrf(bound_to).encode(), given.encode(errors="replace"))

    def shut(self) -> None:
        """Close the file."""
        self._database.close()

    def _kept_secret(self) -> bytes:
        self._database.execute("INSERT OR IGNORE INTO secret VALUES (1, ?)", (secrets.token_bytes(32),))
        with closing(self._database.execute("SELECT value FROM secret")) as rows:
            return bytes(rows.fetchone()[0])


def _opened(folder: Path | None) -> sqlite3.Connection:
    if folder is None:
        database = sqlite3.connect(":memory:", isolation_level=None)
    else:
        os.close(os.open(folder / FILE, os.O_CREAT | os.O_WRONLY, 0o600))
        database = sqlite3.connect(folder / FILE, isolation_level=None)
        # A crash may lose the last sign-in, never the file.
        database.executescript("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;")
    database.executescript(_TABLES)
    there = {row[1] for row in database.execute("PRAGMA table_info(sessions)")}
    for column in _LATER:
        if column not in there:
            database.execute(f"ALTER TABLE sessions ADD COLUMN {column} TEXT")
    return database


def _digest(token: str) -> bytes:
    return sha256(token.encode(errors="replace")).digest()
