"""What a desk does about what its cluster takes away while it runs: when it waits, and when it ends."""

import asyncio

from review.errors import DeskError, KafkaGoneError
from review.kafka.cluster_watch import ClusterWatch

RIGHT = DeskError("the Kafka user desk lacks the right to Write on the topic case-events")
GONE = KafkaGoneError("cannot reach Kafka")
Answer = DeskError | str | None


class Watched:
    """A watch, the answers that its cluster gives one after the other, and what it ended the desk with."""

    def __init__(self, *answers: Answer) -> None:
        self.answers = list(answers)
        self.ended: list[str] = []
        self.watch = ClusterWatch(self._look, self._end, surely_after_s=0)

    async def _look(self) -> str | None:
        answer = self.answers.pop(0)
        if isinstance(answer, DeskError):
            raise answer
        return answer

    async def _end(self, error: DeskError) -> None:
        self.ended.append(str(error))

    def rounds(self, count: int) -> list[str | None]:
        """The watch's fault after each of so many rounds."""

        async def look() -> list[str | None]:
            faults = []
            for _ in range(count):
                await self.watch.round()
                faults.append(self.watch.fault)
            return faults

        return asyncio.run(look())


def test_a_right_that_is_gone_ends_the_desk() -> None:
    watched = Watched(None, RIGHT, RIGHT)
    assert watched.rounds(2) == [None, str(RIGHT)]
    assert watched.ended == [str(RIGHT)]


def test_what_a_starting_broker_says_for_a_moment_does_not() -> None:
    watched = Watched(RIGHT, None, GONE, None, RIGHT, GONE, None)
    assert watched.rounds(4) == [None, None, str(GONE), None]
    assert watched.ended == []


def test_without_kafka_it_waits() -> None:
    watched = Watched(GONE, GONE, GONE, None)
    assert watched.rounds(3) == [str(GONE), str(GONE), None]
    assert watched.ended == []


def test_a_refused_record_counts_at_once_and_ends_the_desk_though_the_right_is_back() -> None:
    watched = Watched(GONE, None)
    watched.watch.refused("case-events", PermissionError("a text that stays out of the line"))
    fault = watched.watch.fault
    assert fault is not None
    assert fault.startswith("Kafka has refused a record for the topic case-events (PermissionError)")
    assert "a text" not in fault
    assert watched.rounds(2) == [fault, fault]  # nobody answers: that does not bring the producer back
    assert watched.ended == [fault]


def test_the_right_that_is_missing_is_named_rather_than_the_record() -> None:
    watched = Watched(RIGHT, RIGHT)
    watched.watch.refused("case-events", PermissionError())
    assert watched.rounds(1) == [str(RIGHT)]
    assert watched.ended == [str(RIGHT)]


def test_a_right_of_the_webhooks_alone_ends_nothing() -> None:
    watched = Watched("no right to webhooks", "no right to webhooks", None)
    said = []
    for _ in range(3):
        assert watched.rounds(1) == [None]
        said.append(watched.watch.webhooks_fault)
    assert said == ["no right to webhooks", "no right to webhooks", None]
    assert watched.ended == []
