"""A desk that starts reads on where the last one was, and passes over no case: on a real Apache Kafka."""

import asyncio
import base64
import secrets
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import confluent_kafka as ck
import pytest

import schemas
from review.app import ReviewApp
from review.cases.state import CaseState
from review.kafka.cluster import inspect
from review.kafka.transport import ReadCommittedThread
from review.settings import ReviewSettings
from schemas.events import ReviewCase
from tests.fakes.review_cases import a_case
from worker.kafka.topics import apply_topics

PATIENCE_S = 60.0
TABLE_KEYS = base64.b64encode(b"what these desks read of another").decode()
MEANWHILE = 500  # cases: more than a desk takes in until its recovery is over


@pytest.fixture
def prefix(kafka_bootstrap: str) -> str:
    prefix = f"starts-{secrets.token_hex(4)}."
    definitions = schemas.load_topics(prefix=prefix, partitions=1, replication_factor=1)
    apply_topics({"bootstrap.servers": kafka_bootstrap}, definitions)
    return prefix


def send(bootstrap: str, prefix: str, numbers: range) -> None:
    producer = ck.Producer({"bootstrap.servers": bootstrap})
    topic = schemas.topic_names(prefix)[ReviewCase]
    for case in map(a_case, numbers):
        producer.produce(topic, schemas.encode(case), case.id)
    assert producer.flush(PATIENCE_S) == 0


@asynccontextmanager
async def a_desk(bootstrap: str, prefix: str, folder: Path) -> AsyncIterator[ReviewApp]:
    settings = ReviewSettings(bootstrap=bootstrap, topic_prefix=prefix, folder=folder, table_keys=TABLE_KEYS)
    desk = ReviewApp(settings, await inspect(settings), asyncio.get_running_loop())
    await desk.faust.start()
    try:
        yield desk
    finally:
        await desk.faust.stop()


def held(desk: ReviewApp) -> int:
    """How many cases its table has; it counts authors and conversations as well."""
    return sum(isinstance(entry, CaseState) for _, entry in desk.table.items())


async def shows(desk: ReviewApp, cases: int) -> None:
    """Wait until it has so many cases."""
    async with asyncio.timeout(PATIENCE_S):
        while held(desk) != cases:  # noqa: ASYNC110 - a table of Faust's tells nobody
            await asyncio.sleep(0.05)


def test_what_is_fetched_while_it_goes_back_is_not_passed_over(
    kafka_bootstrap: str, prefix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Faust fetches on meanwhile, and then drops what waits for its agents: its next commit was behind it."""
    goes_back = ReadCommittedThread.seek_to_committed

    async def slowly(thread: ReadCommittedThread) -> Mapping[Any, int]:
        committed = await goes_back(thread)
        await asyncio.sleep(0.2)  # as where Kafka has not said yet what is committed of other topics
        return committed

    async def restarts() -> None:
        async with a_desk(kafka_bootstrap, prefix, tmp_path) as desk:
            send(kafka_bootstrap, prefix, range(1))
            await shows(desk, 1)
        send(kafka_bootstrap, prefix, range(1, 1 + MEANWHILE))
        monkeypatch.setattr(ReadCommittedThread, "seek_to_committed", slowly)
        elsewhere = tmp_path / "elsewhere"  # so that the table is recovered
        elsewhere.mkdir()
        async with a_desk(kafka_bootstrap, prefix, elsewhere) as desk:
            await shows(desk, 1 + MEANWHILE)

    asyncio.run(restarts())
