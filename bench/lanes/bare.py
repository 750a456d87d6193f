"""A bare confluent-kafka loop, at-least-once: it polls, decodes, produces, and at intervals commits."""

from typing import cast

import confluent_kafka as ck

from bench.lanes.job import Job
from bench.lanes.label import label_of


def run(job: Job, name: str) -> None:
    """Run until killed. The clients are set as this worker's are, except for transactions."""
    per_commit = 500 if name.endswith("500") else 5000
    consumer = ck.Consumer(
        {
            "bootstrap.servers": job.bootstrap,
            "group.id": job.group,
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
            "fetch.wait.max.ms": 10,
        }
    )
    producer = ck.Producer(
        {
            "bootstrap.servers": job.bootstrap,
            "enable.idempotence": True,
            "compression.type": "lz4",
            "linger.ms": 2,
            "queue.buffering.max.messages": 500_000,
        }
    )
    consumer.subscribe([job.messages])
    since_commit = 0
    while True:
        messages = consumer.consume(per_commit - since_commit, 0.05)
        for message in messages:
            if message.error() is None:
                # The library types every part as optional, but a message without an error has all of them.
                content, topic = cast("bytes", message.value()), cast("str", message.topic())
                partition, offset = cast("int", message.partition()), cast("int", message.offset())
                value, headers = label_of(content, topic, partition, offset)
                producer.produce(job.labels, value, message.key(), headers=headers)
        producer.poll(0)
        since_commit += len(messages)
        if since_commit >= per_commit or (since_commit and not messages):
            producer.flush()
            consumer.commit(asynchronous=True)
            since_commit = 0
