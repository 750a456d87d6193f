"""`python -m tests.fakes.canned_worker`: a worker process on a canned engine, set up by its environment.

SECONDS_PER_MESSAGE is how long the engine takes. At its end it prints how many texts the engine read.
"""

import os
import signal
from collections.abc import Sequence

from engine.scores import Scores
from mimamori.soak.canned_engine import CannedEngine
from schemas.events import Message
from schemas.topics import topic_names
from tests.fakes.worker_app import build_app
from worker.kafka import Consumer, RebalanceListener
from worker.kafka.consumer import KafkaConsumer
from worker.kafka.producer import KafkaProducer
from worker.settings import load_settings
from worker.startup import open_in_hand_topic, require_topics
from worker.stream.room import batch_size, find_room
from worker.telemetry.logs import configure_logs


class CountingEngine(CannedEngine):
    """Counts the texts it has read."""

    read_texts = 0

    def read(self, texts: Sequence[str]) -> list[Scores]:
        scores = super().read(texts)
        self.read_texts += len(texts)
        return scores


def main() -> None:
    settings = load_settings()
    configure_logs(settings.log_format)
    engine = CountingEngine(levels=3, seconds_per_message=float(os.environ["SECONDS_PER_MESSAGE"]))
    room = find_room(require_topics(settings), settings.client_config)
    app = build_app(settings, engine=engine, room=room, notes=open_in_hand_topic(settings))
    signal.signal(signal.SIGTERM, lambda *_: app.stop())

    def join(listener: RebalanceListener) -> Consumer:
        topic = topic_names(settings.topic_prefix)[Message]
        return KafkaConsumer(settings.client_config, settings.group, topic, listener, settings.group_protocol)

    config = {"batch.size": batch_size(room), **settings.client_config}
    app.run(join, KafkaProducer(config, settings.transactional_id))
    print(engine.read_texts)  # noqa: T201 - the test reads it


if __name__ == "__main__":
    main()
