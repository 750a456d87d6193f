"""A front on a simulated device, for bench/front.py: one that takes time and no CPU, as a GPU does.

python -m bench.lanes.simulated_front MS               serves, MS milliseconds a text
python -m bench.lanes.simulated_front MS TEXTS.json    reads all texts, for every line of standard input;
                                                        a number there: so many at a time
"""

import json
import signal
import sys
import time
from pathlib import Path

from engine.policy import Policy
from engine.task import load_task
from front.settings import load_front_settings
from front.startup import assemble
from mimamori.soak.canned_engine import CannedEngine
from schemas.events import Thresholds
from worker.settings_source import load_settings
from worker.telemetry.logs import configure_logs


def main() -> None:
    """Serve until SIGTERM, or measure the device alone."""
    task = load_task("stress")
    engine = CannedEngine(levels=len(task.level_names), seconds_per_message=float(sys.argv[1]) / 1000)
    if sys.argv[2:]:
        texts: list[str] = json.loads(Path(sys.argv[2]).read_text())
        for line in sys.stdin:
            size = int(line) if line.strip().isdecimal() else len(texts)
            began, used = time.perf_counter(), time.process_time()
            for first in range(0, len(texts), size):
                engine.read(texts[first : first + size])
            seconds, used = time.perf_counter() - began, time.process_time() - used
            print(json.dumps({"rate": len(texts) / seconds, "cpu_ms": 1000 * used / len(texts)}), flush=True)
        return
    configure_logs("json")
    policy = Policy(Thresholds(0.3, 0.7, "simulated"), quality_sample_share=0.0)
    own = load_front_settings()
    service = assemble(load_settings(), own, engine, task=task, fingerprint="0" * 64, policy=policy)
    signal.signal(signal.SIGTERM, lambda *_: service.stop())
    service.run()


if __name__ == "__main__":
    main()
