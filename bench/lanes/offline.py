"""Measures the engine alone: `python -m bench.lanes.offline BUNDLE TEXTS.json` prints messages per second.

With --each-line it measures once for every line of standard input, so that another lane can run in between; a
line with a number has the texts read so many at a time.
It uses the worker's engine, settings and texts, in the topic's order, but no Kafka and no cache. The rate
excludes loading and a warm-up, just as the worker's rate excludes everything before its first commit.
"""

import json
import sys
import time
from pathlib import Path

from engine.bundle import Bundle
from engine.reading.reader import load_tokenizer
from worker.settings import Settings
from worker.startup import open_engine


def main() -> None:
    """Load the engine, warm it up, and read all texts in one call."""
    bundle = Bundle.load(Path(sys.argv[1]))
    engine = open_engine(Settings(), bundle)
    texts: list[str] = json.loads(Path(sys.argv[2]).read_text())
    engine.read(texts[: len(texts) // 8])
    tokenizer = load_tokenizer(bundle.path)
    tokens = sum(len(encoding.ids) for encoding in tokenizer.encode_batch(texts, add_special_tokens=False))
    for line in sys.stdin if "--each-line" in sys.argv else [""]:
        size = int(line) if line.strip().isdecimal() else len(texts)
        began, used = time.perf_counter(), time.process_time()
        for first in range(0, len(texts), size):
            engine.read(texts[first : first + size])
        seconds, used = time.perf_counter() - began, time.process_time() - used
        found = {
            "rate": len(texts) / seconds,
            "cpu_ms": 1000 * used / len(texts),
            "tokens_per_message": tokens / len(texts),
            "runs": engine.describe(),
            "reading": engine.reading,
        }
        print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main()
