"""What the benchmark writes to Kafka: cases for the desk to take in, and the changelog that a desk left."""

import threading
from collections.abc import Iterable, Iterator
from typing import Self

import confluent_kafka as ck

from bench.desk.made import PARTITIONS, cases
from review.cases.entries import Entry, Subject, encode_entry
from review.cases.keys import case_key, subject_key
from review.cases.state import CaseState
from review.cases.windows import see, sightings
from review.kafka.changelog import stamped
from review.retention.cipher import Cipher
from schemas.codec import encode
from schemas.events import ReviewCase


class Writer:
    """Produces records to the topics of one desk."""

    def __init__(self, bootstrap: str, prefix: str, cipher: Cipher) -> None:
        self._producer = ck.Producer({"bootstrap.servers": bootstrap, "partitioner": "murmur2_random"})
        self._prefix = prefix
        self._cipher = cipher

    def arrive(self, made: Iterable[ReviewCase]) -> int:
        """Cases, as a worker writes them. Returns how many there were."""
        count = 0
        for count, case in enumerate(made, start=1):  # noqa: B007 - the count is what is returned
            self._send("review-cases", case.id.encode(), encode(case))
        self._producer.flush(60)
        return count

    def leave(self, entries: Iterable[tuple[bytes, Entry]]) -> None:
        """Entries of the table's changelog, sealed as a desk seals them, each in its entry's partition."""
        for key, entry in entries:
            sealed = self._cipher.seal(encode_entry(entry), key)
            self._send("review-cases-changelog", key, stamped(1, sealed), entry.partition)
        self._producer.flush(60)

    def _send(self, topic: str, key: bytes, value: bytes, partition: int = -1) -> None:
        while True:
            try:
                self._producer.produce(self._prefix + topic, value, key=key, partition=partition)
                break
            except BufferError:
                self._producer.poll(0.1)


def entries_of(made: Iterable[ReviewCase]) -> Iterator[tuple[bytes, Entry]]:
    """The entries that a desk has once it has taken these cases in: theirs, and their conversations'."""
    subjects: dict[str, Subject] = {}
    for case in made:
        partition = case.origin.partition
        yield case_key(case.id), CaseState(case, partition)
        for seen in sightings(case, partition):
            home = int(seen.digest, 16) % PARTITIONS
            subjects[seen.digest] = see(subjects.get(seen.digest), seen, home, case.opened_at)
    for digest, subject in subjects.items():
        yield subject_key(digest), subject


class Arriving:
    """Has 50 cases a second arrive, in a thread, while the block runs. `first` is the number of the first."""

    def __init__(self, writer: Writer, *, first: int) -> None:
        self.sent = 0
        self._writer, self._first = writer, first
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        made = cases(100_000, seed=99, first=self._first)
        while not self._stop.wait(0.1):
            self.sent += self._writer.arrive(case for _, case in zip(range(5), made, strict=False))
