"""Workers that are broken on purpose, each in one way, for the checker to catch. The zygote runs them.

Everything is the real worker but for what wraps its producer. What must happen once in a run (a kill, a
duplicate) happens in the worker that first takes the mark, a file that can be made only once.
"""

import os
import signal
import subprocess
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import confluent_kafka as ck

from mimamori.soak import canned_worker
from worker.assembly import open_producer
from worker.errors import RetryableError
from worker.kafka import Membership, Producer
from worker.kafka.record import Offsets, Outbound
from worker.settings import Settings

MARK = "SABOTAGE_MARK"  # an environment variable: the path of the mark
STOPPED_S = 2.5  # a zombie's sleep, well past the session timeout that the tests set
WARM = 3  # commits before the worker turns


class Sabotage:
    """A producer that passes all on to the real one, until it is warm; then `spoil` does what it wants."""

    def __init__(self, real: Producer, settings: Settings) -> None:
        self.real = real
        self.settings = settings
        self._commits = 0

    def commit(self, outbound: Sequence[Outbound], offsets: Offsets, membership: Membership) -> None:
        self._commits += 1
        if self._commits > WARM:
            self.spoil(outbound, offsets, membership)
        else:
            self.real.commit(outbound, offsets, membership)

    def spoil(self, outbound: Sequence[Outbound], offsets: Offsets, membership: Membership) -> None:
        self.real.commit(outbound, offsets, membership)

    def close(self) -> None:
        self.real.close()


class Zombie(Sabotage):
    """Stands still between the check of its epoch and its commit, until others have its partitions."""

    def spoil(self, outbound: Sequence[Outbound], offsets: Offsets, membership: Membership) -> None:
        if take_mark():
            subprocess.Popen(["/bin/sh", "-c", f"sleep {STOPPED_S}; kill -CONT {os.getpid()}"])
            # To this thread: one that is sent to the process may be taken by another thread, and this one
            # would go on, and commit, until that one has a processor.
            signal.pthread_kill(threading.get_ident(), signal.SIGSTOP)
        self.real.commit(outbound, offsets, self.shown(membership))

    def shown(self, membership: Membership) -> Membership:
        return membership


class UnfencedZombie(Zombie):
    """… and commits as no member of the group, whom Kafka does not ask for a generation."""

    def shown(self, membership: Membership) -> Membership:
        config = {"bootstrap.servers": self.settings.bootstrap, "group.id": self.settings.group}
        return membership._replace(group=ck.Consumer(config).consumer_group_metadata())


class OffsetsFirst(Sabotage):
    """Commits the offsets, then the outcomes; and is killed in between."""

    def spoil(self, outbound: Sequence[Outbound], offsets: Offsets, membership: Membership) -> None:
        self.real.commit([], offsets, membership)
        if take_mark():
            os.kill(os.getpid(), signal.SIGKILL)
        self.real.commit(outbound, {}, membership)


class Once(Sabotage):
    """Commits one batch as `spoiled` has it. One that is aborted does not count, for it is read again."""

    def spoil(self, outbound: Sequence[Outbound], offsets: Offsets, membership: Membership) -> None:
        spoiled = self.spoiled(list(outbound))
        if spoiled is None or not take_mark():
            self.real.commit(outbound, offsets, membership)
            return
        try:
            self.real.commit(spoiled, offsets, membership)
        except RetryableError:
            leave_mark()
            raise

    def spoiled(self, outbound: list[Outbound]) -> list[Outbound] | None:
        """What to commit in its place; None where this batch has nothing to spoil."""
        raise NotImplementedError


class Duplicating(Once):
    """Writes one label twice."""

    def spoiled(self, outbound: list[Outbound]) -> list[Outbound] | None:
        labels = labels_of(outbound)
        return [*outbound, labels[-1]] if labels else None


class Swallowing(Once):
    """Leaves one label out: one without a case, so that nothing else shows it."""

    def spoiled(self, outbound: list[Outbound]) -> list[Outbound] | None:
        for label in labels_of(outbound):
            if b'"verdict":"clear"' in label.value:
                return without(label, outbound)
        return None


class Swapping(Once):
    """Lets two labels of one conversation change places."""

    def spoiled(self, outbound: list[Outbound]) -> list[Outbound] | None:
        last: dict[bytes, Outbound] = {}
        for label in labels_of(outbound):
            if label.key in last:
                here, there = outbound.index(last[label.key]), outbound.index(label)
                outbound[here], outbound[there] = outbound[there], outbound[here]
                return outbound
            last[label.key] = label
        return None


class Hushing(Once):
    """Leaves one review case out: its label is there, and nobody will look."""

    def spoiled(self, outbound: list[Outbound]) -> list[Outbound] | None:
        for one in outbound:
            if one.topic.endswith("review-cases"):
                return without(one, outbound)
        return None


def without(gone: Outbound, outbound: list[Outbound]) -> list[Outbound]:
    return [one for one in outbound if one is not gone]


def labels_of(outbound: Sequence[Outbound]) -> list[Outbound]:
    return [one for one in outbound if one.topic.endswith("labels")]


def take_mark() -> bool:
    """Whether this is the first call of the run, in whichever process."""
    try:
        Path(os.environ[MARK]).touch(exist_ok=False)
    except FileExistsError:
        return False
    return True


def leave_mark() -> None:
    Path(os.environ[MARK]).unlink()


def _run(kind: type[Sabotage], given: dict[str, Any]) -> None:
    settings = canned_worker.prepare(given)
    worker = canned_worker.make(settings, producer_of=lambda: kind(open_producer(settings), settings))
    canned_worker.serve(worker)


def zombie(given: dict[str, Any]) -> None:
    _run(Zombie, given)


def unfenced_zombie(given: dict[str, Any]) -> None:
    _run(UnfencedZombie, given)


def offsets_first(given: dict[str, Any]) -> None:
    _run(OffsetsFirst, given)


def duplicating(given: dict[str, Any]) -> None:
    _run(Duplicating, given)


def swallowing(given: dict[str, Any]) -> None:
    _run(Swallowing, given)


def swapping(given: dict[str, Any]) -> None:
    _run(Swapping, given)


def hushing(given: dict[str, Any]) -> None:
    _run(Hushing, given)
