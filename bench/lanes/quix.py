"""quixstreams, exactly-once: one transaction per 2,000 records, which is this worker's largest batch."""

from quixstreams import Application, message_context

from bench.lanes.job import Job
from bench.lanes.label import Headers, label_of


def run(job: Job, name: str) -> None:
    """Run until killed."""
    del name
    app = Application(
        broker_address=job.bootstrap,
        consumer_group=job.group,
        auto_offset_reset="earliest",
        processing_guarantee="exactly-once",
        commit_every=2000,
        commit_interval=1.0,
        auto_create_topics=False,
        use_changelog_topics=False,
        state_dir=job.folder,
        consumer_extra_config={"fetch.wait.max.ms": 10},
        producer_extra_config={"compression.type": "lz4", "linger.ms": 2, "retry.backoff.ms": 1},
        loglevel="WARNING",
    )
    raw = {"key_deserializer": "bytes", "value_deserializer": "bytes"}
    messages = app.topic(job.messages, **raw)
    labels = app.topic(job.labels, key_serializer="bytes", value_serializer="bytes")
    # The headers of the current record. The frame sets values and headers in two separate steps.
    made: Headers = []

    def label(value: bytes) -> bytes:
        place = message_context()
        content, made[:] = label_of(value, place.topic, place.partition, place.offset)
        return content

    frame = app.dataframe(messages).apply(label).set_headers(lambda *_: list(made))
    frame.to_topic(labels)
    app.run()
