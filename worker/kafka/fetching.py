"""Tells the client which partitions to fetch, and from where. It knows nothing of why."""

from collections.abc import Iterable

import confluent_kafka as ck

from worker.errors import RetryableError
from worker.kafka.librdkafka_waits import end_fetch_wait
from worker.kafka.record import Partition


class Fetching:
    """Tells one client. Used by its polling thread, and in its callbacks."""

    def __init__(self, client: ck.Consumer) -> None:
        self._client = client
        self._paused = False

    @property
    def paused(self) -> bool:
        """Whether nothing is to be fetched, of no partition."""
        return self._paused

    def pause(self, names: Iterable[Partition]) -> None:
        """Fetch nothing of these, which are all, until `resume`."""
        self._paused = True
        self.hold(names)

    def resume(self, names: Iterable[Partition]) -> None:
        """Fetch these again."""
        self._paused = False
        self._client.resume(positions(names))

    def hold(self, names: Iterable[Partition]) -> None:
        """Fetch nothing of these, until `let`."""
        self._client.pause(positions(names))

    def let(self, names: Iterable[Partition]) -> None:
        """Fetch these, as long as not all are paused.

        librdkafka keeps a partition paused through unassign and assign: one that left a worker during a
        pause, and comes back, would otherwise stay paused for ever.
        """
        (self._client.pause if self._paused else self._client.resume)(positions(names))

    def begin(self, places: list[ck.TopicPartition]) -> None:
        """Fetch what was assigned just now. Call it in the client's callback."""
        self._client.incremental_assign(places)

    def end(self, names: Iterable[Partition]) -> None:
        """Fetch no more of what was revoked or lost. Call it in the client's callback."""
        self._client.incremental_unassign(positions(names))

    def seek(self, place: ck.TopicPartition) -> bool:
        """Fetch a partition from `place`; False where the client has stopped to fetch it, and refuses.

        Raises RetryableError: it does not at the moment.
        """
        try:
            self._client.seek(place)
        except ck.KafkaException as error:
            if error.args[0].code() == ck.KafkaError._STATE:
                return False
            raise RetryableError(f"cannot seek: {error.args[0].name()}") from None
        return True

    def start_over(self, place: ck.TopicPartition) -> None:
        """Fetch a partition from `place`, whatever the client does with it now.

        Outside of a callback, the client takes this for the answer to a revocation that waits to be served,
        and acknowledges it. So a seek is to be preferred, but where the client refuses it or may forget it.
        """
        self._client.incremental_unassign([place])
        self._client.incremental_assign([place])
        self.let([(place.topic, place.partition)])

    def at_once(self, names: Iterable[Partition]) -> None:
        """Let the client fetch these now, after a pause or a step of a rebalance."""
        end_fetch_wait(self._client, names)


def positions(names: Iterable[Partition], offset: int = ck.OFFSET_INVALID) -> list[ck.TopicPartition]:
    """What the client takes for partitions."""
    return [ck.TopicPartition(*name, offset) for name in sorted(names)]
