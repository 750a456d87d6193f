"""Whose turn it is: most claims get the most urgent case, and a stated share something else. Deterministic.

- `sample`: one claim of every `sample_every`, at a place in each round that nobody can guess without the
  seed. Whoever could count along would know a quality sample when they see it.
- `due`: one of every `due_every` other claims gets the earliest deadline of all, whatever the level. So
  nothing starves: what is sent after a case's deadline can never take such a claim from it.
- `urgent`: all others.
"""

from hashlib import blake2b
from typing import Literal

Turn = Literal["sample", "due", "urgent"]


class Turns:
    """Counts the claims. `sample_every` may be changed at any time, and holds from the next round on."""

    def __init__(self, *, sample_every: int, due_every: int, seed: bytes = b"") -> None:
        if sample_every < 1 or due_every < 1:
            raise ValueError("every how many claims: must be 1 or more")
        self.sample_every = sample_every
        self._due_every = due_every
        self._seed = seed
        self._round = self._place = self._others = 0
        self._start_round()

    def _start_round(self) -> None:
        self._length = self.sample_every
        digest = blake2b(b"%d" % self._round, key=self._seed, digest_size=8).digest()
        self._sample_at = int.from_bytes(digest, "big") % self._length

    @property
    def turn(self) -> Turn:
        """What the next claim gets, if there is such a case for whoever claims."""
        if self._place == self._sample_at:
            return "sample"
        return "due" if self._others % self._due_every == self._due_every - 1 else "urgent"

    def taken(self) -> None:
        """A claim has been served."""
        if self._place != self._sample_at:
            self._others += 1
        self._place += 1
        if self._place == self._length:
            self._round, self._place = self._round + 1, 0
            self._start_round()
