"""`python -m tests.fakes.canned_worker`: a worker process with a canned engine, set by environment variables.

SECONDS_PER_MESSAGE is how long the engine takes. At its end the process prints how many texts it read.
"""

import os
import signal
from collections.abc import Sequence

from engine.scores import Scores
from engine.task import load_task
from mimamori.soak.canned_engine import CannedEngine
from tests.fakes.worker_app import POLICY
from worker.assembly import assemble
from worker.settings_source import load_settings
from worker.startup import require_topics
from worker.stream.pipeline import Pipeline
from worker.stream.room import find_room
from worker.stream.routing import Routing
from worker.telemetry.logs import configure_logs
from worker.telemetry.metrics import Metrics


class CountingEngine(CannedEngine):
    """A canned engine that counts the texts it has read."""

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
    worker = assemble(
        settings,
        Routing(Pipeline(load_task("stress"), engine, POLICY, "fingerprint")),
        metrics=Metrics(),
        room=room,
    )
    signal.signal(signal.SIGTERM, lambda *_: worker.app.stop())
    worker.run()
    print(engine.read_texts)  # noqa: T201 - the test reads it


if __name__ == "__main__":
    main()
