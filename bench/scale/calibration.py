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

from bench.scale.spans import Took
from bench.scale.station import Worker


def fitted(alone: Sequence[Took], mixed: Sequence[Took], flood: Sequence[Took], waited_s: float) -> Worker:
    """A worker as measured.

    Args:
        alone: Batches of single messages that came one by one.
        mixed: Batches of a stream, small and large.
        flood: Batches of messages that were all there from the beginning.
        waited_s: The median wait of the single messages.
    """
    message_s = _slope(flood, alone, _reading)
    commit_message_s = _slope(flood, alone, _commit)
    before_s = median(each.screening - each.opened for each in alone)
    reading_s = median(map(_reading, alone)) - message_s
    commit_s = median(map(_commit, alone)) - commit_message_s
    hand_over_s = median(each.committing - each.screened for each in alone)
    every = [*alone, *mixed]
    notes = [each.screening - each.opened - before_s for each in alone]
    return Worker(
        batch_s=max(0.0, before_s + reading_s),
        message_s=message_s,
        commit_s=max(0.0, commit_s) + hand_over_s,
        commit_message_s=commit_message_s,
        transit_s=max(0.0, waited_s - median(each.committed - each.opened for each in alone)),
        # Two things that vary: reading, in every batch, and notes, as seen in those that came alone.
        read_more=tuple(
            _reading(each) - reading_s - each.messages * message_s + notes[number % len(notes)]
            for number, each in enumerate(every)
        ),
        commit_more=tuple(_commit(each) - commit_s - each.messages * commit_message_s for each in every),
    )


def _reading(each: Took) -> float:
    return each.screened - each.screening


def _commit(each: Took) -> float:
    return each.committed - each.committing


def _slope(flood: Sequence[Took], alone: Sequence[Took], seconds: Callable[[Took], float]) -> float:
    """Seconds a message, beyond what a batch of one takes."""
    one = median(map(seconds, alone))
    more = sum(each.messages - 1 for each in flood)
    return max(1e-9, (sum(map(seconds, flood)) - len(flood) * one) / more)
