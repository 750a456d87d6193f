"""Review desks that are killed, frozen and replaced, and a broker that is killed under them.

Whatever happens, a claim or a decision that somebody was told of survives, and no case is decided two ways.
A decision may stand twice where a desk was killed, with the same id and bytes; a killed broker copies none.
"""

import os
import secrets
import signal
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # public names that its types do not re-export
    AdminClient,
    NewTopic,
)
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from mimamori.sandbox import Sandbox
from review.cases.keys import case_key
from review.kafka.changelog import version_of
from schemas.codec import decode, encode
from schemas.events import ReviewCase, ReviewDecision
from tests.fakes.bare_desk import BareDesk, until
from tests.fakes.review_cases import a_case

NAMES = ("review-cases", "review-decisions", "case-events", "case-subjects", "review-audit")


class Town:
    """One cluster's topics, and the desks on them."""

    def __init__(self, bootstrap: str, folder: Path, partitions: int = 1) -> None:
        self.bootstrap = bootstrap
        self.prefix = f"desks-{secrets.token_hex(4)}."
        self._folder = folder
        self._partitions = partitions
        self._desks: list[BareDesk] = []
        self._producer = Producer({"bootstrap.servers": bootstrap, "partitioner": "murmur2_random"})
        self._admin = AdminClient({"bootstrap.servers": bootstrap})
        made = [NewTopic(self.prefix + name, partitions, 1) for name in NAMES]
        for each in self._admin.create_topics(made).values():
            each.result()
        key = Ed25519PrivateKey.generate()
        file = folder / "signing-key.pem"
        file.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        file.chmod(0o600)

    def desk(self, name: str, **settings: str) -> BareDesk:
        """Start a desk with a folder of its own."""
        desk = BareDesk(self.bootstrap, self.prefix, self._folder / name, **settings).start()
        self._desks.append(desk)
        return desk

    def send(self, *cases: ReviewCase) -> None:
        """Cases arrive."""
        for case in cases:
            self._producer.produce(self.prefix + NAMES[0], encode(case), key=case.id)
        assert self._producer.flush(10) == 0

    def write(self, topic: str, key: bytes, value: bytes | None) -> None:
        """Somebody writes to partition 0 of a topic."""
        self._producer.produce(topic, value, key=key, partition=0)
        assert self._producer.flush(10) == 0

    @property
    def changelog(self) -> str:
        """The topic of the desks' table."""
        return f"{self.prefix}review-cases-changelog"

    def read(self, topic: str) -> list[tuple[bytes, bytes | None]]:
        """Everything on a topic, oldest first per partition."""
        consumer = Consumer(
            {
                "bootstrap.servers": self.bootstrap,
                "group.id": self.prefix + "reader",
                "isolation.level": "read_committed",
                "enable.partition.eof": True,
                "auto.offset.reset": "earliest",
            }
        )
        found: list[tuple[bytes, bytes | None]] = []
        try:
            consumer.assign([TopicPartition(topic, partition, 0) for partition in range(self._partitions)])
            ended = 0
            while ended < self._partitions:
                record = consumer.poll(30)
                assert record is not None
                if record.error():
                    ended += 1
                else:
                    found.append((record.key() or b"", record.value()))
        finally:
            consumer.close()
        return found

    def decisions(self) -> list[ReviewDecision]:
        """What the desks have published."""
        return [decode(ReviewDecision, value or b"") for _, value in self.read(self.prefix + NAMES[1])]

    def close(self) -> None:
        """End the desks, and delete the topics."""
        for desk in self._desks:
            desk.kill()
        mine = [name for name in self._admin.list_topics(timeout=10).topics if name.startswith(self.prefix)]
        for deletion in self._admin.delete_topics(mine).values():
            deletion.result()
        del self._admin, self._producer  # or they would complain when the broker ends


@pytest.fixture
def town(kafka_bootstrap: str, tmp_path: Path) -> Iterator[Town]:
    with closing(Town(kafka_bootstrap, tmp_path)) as made:
        yield made


@pytest.mark.skipif(os.environ.get("DESKS") != "full", reason="DESKS=full: half a minute more")
def test_a_frozen_desk_that_wakes_turns_nothing_back(town: Town) -> None:
    """It wakes in the middle of an event, when a colleague's desk has long gone on with the case."""
    case = a_case(1)
    town.send(case)
    first = town.desk("first").ready(1)
    until(lambda: first.ask("queue")["total"], "the case")
    lease = first.ask("claim", case.id, "aoi")["lease"]
    first.ask("freeze")
    first.send("decide", case.id, lease, "at_risk", "aoi")
    until(first.frozen, "the first desk to freeze in the middle of the decision")

    second = town.desk("second").ready(1)
    until(lambda: second.ask("find", case.id)["phase"] == "settled", "the decision, settled by the second")
    second.ask("reopen", case.id, "lena")
    claimed = second.ask("claim", case.id, "ben")["lease"]
    assert second.ask("find", case.id)["holder"] == "ben"

    written = len(town.read(town.changelog))
    first.signal(signal.SIGCONT)
    until(lambda: len(town.read(town.changelog)) > written, "the late write")
    second.kill()
    first.answer()
    first.ready(1)
    assert first.ask("find", case.id)["holder"] == "ben"  # it has read what it had missed
    first.kill()
    third = town.desk("third").ready(1)
    assert third.ask("find", case.id)["holder"] == "ben"  # and so does whoever reads the whole changelog
    assert third.ask("decide", case.id, claimed, "not_at_risk", "ben")["phase"] == "decided"
    until(lambda: len(town.decisions()) == 2, "Ben's decision")
    assert [decision.reviewer for decision in town.decisions()] == ["aoi", "ben"]


def versions(town: Town, case: ReviewCase) -> list[int]:
    """The versions of a case's records in the changelog, oldest first. The last is what compaction keeps."""
    return [version_of(value) for key, value in town.read(town.changelog) if key == case_key(case.id)]


def test_a_late_write_is_refused_and_written_over(town: Town) -> None:
    case, *others = cases = [a_case(number) for number in (1, 2, 3)]
    desk = town.desk("desk").ready()
    desk.ask("commit_nothing")  # so that all that follows is delivered again
    town.send(*cases)
    until(lambda: desk.ask("queue")["total"] == 3, "the cases")
    desk.ask("claim", case.id, "aoi")
    opened = next(value for key, value in town.read(town.changelog) if key == case_key(case.id))
    assert versions(town, case) == [version_of(opened), 2] == [1, 2]

    for late, other in zip((opened, None), others, strict=True):
        town.write(town.changelog, case_key(case.id), late)
        assert versions(town, case)[-1] < 2
        desk.ask("claim", other.id, other.id)  # this desk's next write shows it that there was another
        assert versions(town, case)[-1] == 2
    assert desk.ask("find", case.id)["holder"] == "aoi"

    town.write(town.changelog, case_key(case.id), opened)
    written = len(versions(town, case))
    desk.kill()  # before it wrote anything again
    town.send(arrived := a_case(4))
    following = town.desk("following").ready()
    assert following.ask("find", case.id)["holder"] == "aoi"
    # The claim as it was, before anything else. Behind it, its events write it again, with higher versions.
    newer = versions(town, case)[written:]
    assert newer[:1] == [2]
    assert newer == sorted(newer)
    until(lambda: "id" in following.ask("find", arrived.id), "the case that came when no desk was there")


def test_two_desks_count_together_and_one_takes_over_all_claims(kafka_bootstrap: str, tmp_path: Path) -> None:
    town = Town(kafka_bootstrap, tmp_path, partitions=2)
    try:
        desks = [town.desk("a"), town.desk("b")]
        for desk in desks:
            desk.ready(1)
        cases = [a_case(number, author_id="vera.lindqvist") for number in range(20)]
        town.send(*cases, *cases)  # each is delivered twice, and counts once

        def counts() -> list[int]:
            views = [desk.ask("find", case.id) for desk in desks for case in cases]
            return sorted(view["repeats"].get("author", 0) for view in views if "refused" not in view)

        until(lambda: counts() == [3, 3, 3, *range(4, 21)], "the count of all cases, over both desks")
        told = town.read(f"{town.prefix}case-subjects")
        assert not any(b"vera" in key + (value or b"") for key, value in told)

        holders: dict[str, str] = {}
        for desk in desks:
            listed = desk.ask("queue")["cases"][:5]
            claims = desk.ask("all", *(["claim", case_id, f"for {case_id}"] for case_id in listed))
            holders |= {claim["case"]["id"]: claim["case"]["holder"] for claim in claims}
        assert len(holders) == 10
        desks.pop(0).kill()
        desks[0].ready(2)
        assert {case_id: desks[0].ask("find", case_id)["holder"] for case_id in holders} == holders
        assert set(desks[0].ask("queue")["cases"]) == {case.id for case in cases} - holders.keys()
        assert counts() == [3, 3, 3, *range(4, 21)]
    finally:
        town.close()


def test_a_broker_that_is_killed_loses_no_claim_and_no_decision_and_doubles_none(tmp_path: Path) -> None:
    with Sandbox(redis=False) as sandbox, closing(Town(sandbox.bootstrap, tmp_path, partitions=2)) as town:
        desk = town.desk("desk", CONFIRM_SECONDS="3").ready(2)
        cases = [a_case(number) for number in range(60)]
        town.send(*cases)
        until(lambda: desk.ask("queue")["total"] == 60, "all cases")
        held = [desk.ask("claim", case.id, case.id)["lease"] for case in cases[:30]]
        decisions = [
            ["decide", case.id, lease, "not_at_risk", case.id]
            for case, lease in zip(cases[:30], held, strict=True)
        ]
        claims = [["claim", case.id, case.id] for case in cases[30:]]
        desk.send("all", *decisions, *claims)
        sandbox.kill_kafka()
        told = desk.answer()
        sandbox.start_kafka()
        desk.ready(2)

        decided = {case.id for case, answer in zip(cases[:30], told[:30], strict=True) if "id" in answer}
        claimed = {case.id for case, answer in zip(cases[30:], told[30:], strict=True) if "lease" in answer}
        until(lambda: decided <= {decision.case_id for decision in town.decisions()}, "what was confirmed")

        def seen() -> dict[str, dict[str, str]]:
            return {case.id: desk.ask("find", case.id) for case in cases}

        # Steps that nobody was told about may still be on their way.
        until(lambda: not any(view["phase"] == "decided" for view in seen().values()), "all to be settled")
        published = [decision.id for decision in town.decisions()]
        assert len(published) == len(set(published))  # the broker alone has died until now
        for folder in ("desk", "empty"):
            views = seen()
            assert all(views[case_id]["phase"] == "settled" for case_id in decided)
            assert all(views[case_id]["holder"] == case_id for case_id in claimed)
            # Nobody was told about the others: each is as it was, or a step further, and no case is gone.
            assert {view["phase"] for view in views.values()} <= {"waiting", "claimed", "decided", "settled"}
            if folder == "desk":
                desk.kill()
                desk = town.desk("empty").ready(2)
        # The first desk may have died between publishing a decision and noting that.
        standing = town.read(town.prefix + NAMES[1])
        assert len({key for key, _ in standing}) == len(set(standing))
