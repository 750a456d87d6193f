"""What a worker's stations take, from batches of short runs: a line for each, and how batches differ from it.

             alone, one by one                          many at once
    reading  opened ──► screening ──► screened          the slope: what one message more takes
    commit   screened ──► committing ──► committed      the same

In batches that nothing else delays, all between two of these moments is work: the notes of what the model has
in hand before and after reading, and the hand-over to the outbox. What is left of a message's wait, from the
producer and to the reader, is `transit_s`.
"""

from collections.abc import Callable, Sequence
from statistics import median
from typing import NamedTuple

import msgspec

from bench.scale.spans import Took
from bench.scale.station import Worker


class Calibrated(NamedTuple):
    """A worker as measured, with the parts of its times that no run by itself can tell from waiting."""

    worker: Worker
    notes_s: float
    hand_over_s: float

    def varying_as(self, took: Sequence[Took]) -> Worker:
        """The same worker with batches that vary as a run's: tells the model's error from the machine's.

        How long the run's batches waited for one another is not used, only what they took where they were.
        """
        worker = self.worker
        reading_s, commit_s = worker.batch_s - self.notes_s, worker.commit_s - self.hand_over_s
        return msgspec.structs.replace(
            worker,
            read_more=tuple(_reading(each) - reading_s - each.messages * worker.message_s for each in took),
            commit_more=tuple(
                _commit(each) - commit_s - each.messages * worker.commit_message_s for each in took
            ),
        )


def calibrated(
    alone: Sequence[Took], mixed: Sequence[Took], flood: Sequence[Took], waited_s: float
) -> Calibrated:
    """A worker as measured.

    Args:
        alone: Batches of single messages that came one by one.
        mixed: Batches of a stream, small and large.
        flood: Batches of messages that were all there from the beginning.
        waited_s: The median wait of the single messages.
    """
    message_s = _slope(flood, alone, _reading)
    commit_message_s = _slope(flood, alone, _commit)
    notes_s = median(each.screening - each.opened for each in alone)
    hand_over_s = median(each.committing - each.screened for each in alone)
    worker = Worker(
        batch_s=max(0.0, notes_s + median(map(_reading, alone)) - message_s),
        message_s=message_s,
        commit_s=max(0.0, hand_over_s + median(map(_commit, alone)) - commit_message_s),
        commit_message_s=commit_message_s,
        transit_s=max(0.0, waited_s - median(each.committed - each.opened for each in alone)),
    )
    found = Calibrated(worker, notes_s, hand_over_s)
    varying = found.varying_as([*alone, *mixed])
    # Notes vary as well, as seen in the batches that came alone: nothing else delays these.
    notes = [each.screening - each.opened - notes_s for each in alone]
    both = tuple(more + notes[number % len(notes)] for number, more in enumerate(varying.read_more))
    return found._replace(worker=msgspec.structs.replace(varying, read_more=both))


def undelayed(took: Sequence[Took]) -> list[Took]:
    """The batches before which all others were committed: nothing but their own work delayed them."""
    free = 0.0
    found = []
    for each in took:
        if each.opened >= free:
            found.append(each)
        free = max(free, each.committed)
    return found


def _reading(each: Took) -> float:
    return each.screened - each.screening


def _commit(each: Took) -> float:
    return each.committed - each.committing


def _slope(flood: Sequence[Took], alone: Sequence[Took], seconds: Callable[[Took], float]) -> float:
    """Seconds a message, beyond what a batch of one takes."""
    one = median(map(seconds, alone))
    more = sum(each.messages - 1 for each in flood)
    return max(1e-9, (sum(map(seconds, flood)) - len(flood) * one) / more)
