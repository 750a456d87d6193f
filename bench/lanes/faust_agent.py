"""A Faust agent, at-least-once, set for speed: it does not wait for deliveries, and its producer lingers."""

import logging
from typing import cast

import faust
from faust.types import StreamT, TopicT

from bench.lanes.job import Job
from bench.lanes.label import label_of

FaustHeaders = list[tuple[str, bytes]]  # Our header values are always bytes, though `Headers` allows more.


def run(job: Job, name: str) -> None:
    """Run until killed."""
    del name
    app = faust.App(
        job.group,
        broker=f"kafka://{job.bootstrap}",
        store="memory://",
        datadir=job.folder,
        topic_disable_leader=True,
        topic_allow_declare=False,
        producer_linger=0.05,  # without this, a quarter slower
        producer_compression_type="lz4",
        broker_commit_interval=0.5,
        web_enabled=False,
        autodiscover=False,
    )
    messages, labels = _raw(app, job.messages), _raw(app, job.labels)

    async def screen(stream: StreamT[bytes]) -> None:
        async for event in stream.events():
            record = event.message
            value, headers = label_of(record.value, record.topic, record.partition, record.offset)
            await labels.send(key=record.key, value=value, headers=cast("FaustHeaders", headers))

    app.agent(messages)(screen)
    logging.basicConfig(level=logging.ERROR)
    faust.Worker(app, loglevel="error").execute_from_commandline()


def _raw(app: faust.App, topic: str) -> TopicT:
    return app.topic(topic, key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw")
