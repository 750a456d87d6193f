"""A Faust agent, at-least-once, as quick as its options make it: it awaits no delivery, and lingers."""

import logging

import faust

from bench.lanes.job import Job
from bench.lanes.label import label_of


def run(job: Job, name: str) -> None:
    """Until killed."""
    del name
    app = faust.App(
        job.group,
        broker=f"kafka://{job.bootstrap}",
        store="memory://",
        datadir=job.folder,
        topic_disable_leader=True,
        topic_allow_declare=False,
        producer_linger=0.05,  # without it: a quarter slower
        producer_compression_type="lz4",
        broker_commit_interval=0.5,
        web_enabled=False,
        autodiscover=False,
    )
    raw = {"key_type": bytes, "value_type": bytes, "key_serializer": "raw", "value_serializer": "raw"}
    messages, labels = app.topic(job.messages, **raw), app.topic(job.labels, **raw)

    async def screen(stream: faust.StreamT) -> None:
        async for event in stream.events():
            record = event.message
            value, headers = label_of(record.value, record.topic, record.partition, record.offset)
            await labels.send(key=record.key, value=value, headers=headers)

    app.agent(messages)(screen)
    logging.basicConfig(level=logging.ERROR)
    faust.Worker(app, loglevel="error").execute_from_commandline()
