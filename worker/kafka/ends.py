"""Where partitions end and begin, as far as the consuming client knows or Kafka tells."""

from collections.abc import Iterable, Mapping
from typing import Final

import confluent_kafka as ck

from worker.errors import BrokerError
from worker.kafka.record import Partition

OFFSETS_TIMEOUT_S: Final = 10.0


class Ends:
    """Asks one consumer. Used by its polling thread."""

    def __init__(self, consumer: ck.Consumer) -> None:
        self._consumer = consumer

    def heard_of(self, places: Iterable[Partition]) -> dict[Partition, int]:
        """The ends as of the last fetches, negative where there was none. It makes no request."""
        return {place: self.heard(place) for place in places}

    def heard(self, place: Partition) -> int:
        """The end as of the last fetch; negative after a fetch beyond it: the client forgets it then."""
        _, end = self._consumer.get_watermark_offsets(ck.TopicPartition(*place), cached=True)
        return int(end)

    def positions(self, places: Iterable[Partition]) -> list[ck.TopicPartition]:
        """What the client gives next of each; negative where it has given nothing yet."""
        return self._consumer.position([ck.TopicPartition(*place) for place in sorted(places)])

    def behind(self, places: Iterable[Partition], begins: Mapping[Partition, int]) -> int:
        """How many offsets are still to be read, as of the last fetches. It makes no request.

        `begins` says where reading will begin in a partition of which nothing was read yet.
        """
        total = 0
        for position in self.positions(places):
            place = position.topic, position.partition
            offset = position.offset if position.offset >= 0 else begins.get(place, -1)
            if offset >= 0:
                total += max(0, self.heard(place) - offset)
        return total

    def now(self, place: Partition) -> int:
        """The end of a partition. Raises BrokerError: Kafka does not tell it."""
        asked = ck.TopicPartition(*place)
        try:
            try:
                _, end = self._consumer.get_watermark_offsets(asked, timeout=OFFSETS_TIMEOUT_S)
            except ck.KafkaException:  # once more: its leader may just be changing
                _, end = self._consumer.get_watermark_offsets(asked, timeout=OFFSETS_TIMEOUT_S)
        except ck.KafkaException as error:
            raise BrokerError(f"cannot tell where {place[0]} ends: {error.args[0].name()}") from None
        return int(end)

    def start_of(self, place: Partition) -> int:
        """The offset where reading a partition begins. Raises BrokerError: Kafka does not tell it."""
        asked = [ck.TopicPartition(*place)]
        try:
            (position,) = self._consumer.committed(asked, timeout=OFFSETS_TIMEOUT_S)
            if position.offset >= 0:
                return int(position.offset)
            low, _ = self._consumer.get_watermark_offsets(asked[0], timeout=OFFSETS_TIMEOUT_S)
        except ck.KafkaException as error:
            raise BrokerError(f"cannot tell where {place[0]} is read from: {error.args[0].name()}") from None
        return int(low)
