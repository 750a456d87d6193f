"""Replays a labelled or unlabelled file through Apache Kafka, Redis and the real engine, and audits it.

    python -m bench.replay FILE                      replay it, then once more from the cache
    python -m bench.replay FILE --kills 5 --seed 1   kill the worker (-9) at random moments, and restart it

By default all messages are sent at once, so latency is mostly waiting in line; with a --rate below the
engine's, it is the worker's own. The audit shares no code with the worker: a plain, read-committed
confluent-kafka consumer counts outcomes by the record of their origin, and compares them with the messages
topic. The script exits with 1 on any loss, repetition or disorder. Rates depend on the machine: compare
within one run only.
"""

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import confluent_kafka as ck

from bench.yardstick.fetched import Fetched, records
from export.adapting.shipped import shipped_bundle
from mimamori import process
from mimamori.replay import read_messages
from mimamori.sandbox import Sandbox
from schemas import load_topics
from worker.kafka.topics import apply_topics

TOPICS = ("mimamori.labels", "mimamori.dead-letters", "mimamori.review-cases")
DEADLINE_S = 1800.0


@dataclass
class Audit:
    """What an independent reader has seen. Keys are (partition, offset) of the messages topic."""

    outcomes: Counter[tuple[int, int]] = field(default_factory=Counter)
    verdicts: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    escalated: set[str] = field(default_factory=set)
    cases: Counter[str] = field(default_factory=Counter)
    cached: int = 0
    out_of_order: int = 0
    written_ms: dict[tuple[int, int], int] = field(default_factory=dict)
    last: dict[tuple[str, int, int], int] = field(default_factory=dict)

    def note(self, record: Fetched) -> None:
        """Account for one record of an outcome topic."""
        event = json.loads(record.value)
        if record.topic.endswith("review-cases"):
            if event["kind"] == "escalation":
                self.cases[event["label_id"]] += 1
            return
        origin = event["origin"]["partition"], event["origin"]["offset"]
        self.outcomes[origin] += 1
        place = record.topic, record.partition, origin[0]
        self.out_of_order += self.last.get(place, -1) >= origin[1]
        self.last[place] = origin[1]
        if "reason" in event:
            self.reasons[event["reason"]] += 1
        else:
            self.verdicts[event["verdict"]] += 1
            self.cached += event["cached"]
            if event["verdict"] != "clear":
                self.escalated.add(event["id"])
        self.written_ms[origin] = record.written_ms


def main() -> int:
    """Run and print. The exit code says whether every record had exactly one outcome."""
    options = arguments()
    home = Path(os.environ.get("MIMAMORI_HOME", "~/.cache/mimamori")).expanduser()
    bundle = options.bundle or shipped_bundle(options.task, home / "bundles", lambda *_: None)
    with Sandbox(echo=print) as sandbox, tempfile.TemporaryDirectory() as folder:
        config = {"bootstrap.servers": sandbox.bootstrap}
        apply_topics(config, load_topics(replication_factor=1, partitions=options.partitions))
        worker = Worker(sandbox, bundle, Path(folder))
        worker.start()
        results = [one_round(options, sandbox.bootstrap, worker, 0)]
        if not options.kills:
            results.append(one_round(options, sandbox.bootstrap, worker, len(results[0]["origins"])))
        worker.stop()
    for result in results:
        result.pop("origins")
        print(json.dumps(result, indent=2))
    if options.json:
        options.json.write_text(json.dumps(results, indent=2) + "\n")
    return int(any(result["lost"] or result["twice"] or result["out_of_order"] for result in results))


class Worker:
    """`mimamori run` as a process that can be killed and started again."""

    def __init__(self, sandbox: Sandbox, bundle: Path, folder: Path) -> None:
        self._log = folder / "worker.log"
        self._settings = {
            "bootstrap": sandbox.bootstrap,
            "bundle": bundle,
            "redis_url": sandbox.redis_url,
            "cache_secret": "only for this benchmark",
            "health_port": 0,
            # Each restart has the same id, as the pod of a StatefulSet has, so that it fences the dead
            # process at once.
            "transactional_id": "bench-replay",
        }

    def start(self) -> None:
        """Start the worker; it joins the group once its engine is warm."""
        self._process = process.start(process.WORKER, self._settings, self._log)

    def kill(self) -> None:
        """Kill it with SIGKILL, so that it cannot drain."""
        self._process.kill()
        self._process.wait()

    def stop(self) -> None:
        """Stop it with SIGTERM. Raises SystemExit: it did not end well."""
        if process.end(self._process, 60):
            raise SystemExit(f"the worker ended badly:\n{self._log.read_text()[-2000:]}")

    def check(self) -> None:
        """Raise where it has ended by itself."""
        if self._process.poll() is not None:
            raise SystemExit(f"the worker has ended:\n{self._log.read_text()[-2000:]}")


def one_round(options: argparse.Namespace, bootstrap: str, worker: Worker, known: int) -> dict[str, Any]:
    """Send the file once, kill the worker at random moments where asked to, and wait for all outcomes."""
    chance = random.Random(options.seed)
    expected = sum(1 for _ in read_messages(options.file))
    sending = subprocess.Popen(
        [
            *(sys.executable, "-m", "mimamori", "replay", str(options.file)),
            *("--bootstrap", bootstrap, "--rate", str(options.rate)),
        ],
        stderr=subprocess.DEVNULL,
    )
    kills = sorted(chance.sample(range(max(1, expected // 10), expected * 9 // 10), options.kills))
    killed_at: list[int] = []
    audit, first_s, last_s = Audit(), 0.0, 0.0
    reader = assigned(bootstrap, TOPICS)
    deadline = time.monotonic() + DEADLINE_S
    seen = 0
    while seen < known + expected and time.monotonic() < deadline:
        worker.check()
        for record in records(reader.consume(500, 0.2)):
            audit.note(record)
            is_new = "case" not in record.topic and audit.outcomes.total() > known
            last_s = time.monotonic() if is_new else last_s
            first_s = first_s or last_s
        seen = len(audit.outcomes)
        if kills and seen - known >= kills[0]:
            killed_at.append(kills.pop(0))
            time.sleep(chance.uniform(0, 1))  # at any point of its work
            worker.kill()
            worker.start()
    time.sleep(2)  # outcomes that should not exist would arrive now
    for record in records(reader.consume(10_000, 2)):
        audit.note(record)
    reader.close()
    if sending.wait():
        raise SystemExit("the replay failed")
    sent_ms = read_all(bootstrap)
    return report(audit, sent_ms, known, last_s - first_s, killed_at)


def report(
    audit: Audit, sent_ms: dict[tuple[int, int], int], known: int, seconds: float, killed_at: list[int]
) -> dict[str, Any]:
    """The figures of one round; `lost` and `twice` count over all rounds."""
    labels = audit.verdicts.total()
    new = sorted(audit.written_ms, key=sent_ms.__getitem__)[known:]
    waits = [(audit.written_ms[origin] - sent_ms[origin]) / 1000 for origin in new]
    percentiles = statistics.quantiles(waits, n=100, method="inclusive")
    return {
        "records": len(sent_ms) - known,
        "outcomes": audit.outcomes.total() - known,
        "lost": len(sent_ms.keys() - audit.outcomes.keys()),
        "twice": sum(count - 1 for count in audit.outcomes.values()),
        "out_of_order": audit.out_of_order,
        "cases_without_label_or_reverse": len(audit.escalated ^ audit.cases.keys()),
        "cases_twice": sum(count - 1 for count in audit.cases.values()),
        "verdict_share": {name: round(count / labels, 4) for name, count in audit.verdicts.most_common()},
        "dead_letters": dict(audit.reasons),
        "cached_labels_so_far": audit.cached,
        "records_per_s": round((len(sent_ms) - known) / seconds, 1),
        "latency_p50_s": round(percentiles[49], 3),
        "latency_p99_s": round(percentiles[98], 3),
        "killed_after_outcomes": killed_at,
        "origins": audit.outcomes,
    }


def assigned(bootstrap: str, topics: tuple[str, ...]) -> ck.Consumer:
    """A read-committed consumer at the beginning of every partition, without a group."""
    reader = ck.Consumer(
        {"bootstrap.servers": bootstrap, "group.id": "audit", "isolation.level": "read_committed"}
    )
    partitions = [
        ck.TopicPartition(topic, number, ck.OFFSET_BEGINNING)
        for topic in topics
        for number in reader.list_topics(topic, 10).topics[topic].partitions
    ]
    reader.assign(partitions)
    return reader


def read_all(bootstrap: str) -> dict[tuple[int, int], int]:
    """The timestamp in ms of every record on the messages topic, by (partition, offset)."""
    reader = assigned(bootstrap, ("mimamori.messages",))
    ends = {p.partition: reader.get_watermark_offsets(p, 10)[1] for p in reader.assignment()}
    found: dict[tuple[int, int], int] = {}
    while len(found) < sum(ends.values()):
        for record in records(reader.consume(1000, 1)):
            found[record.partition, record.offset] = record.written_ms
    reader.close()
    return found


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("file", type=Path, help="JSONL or CSV with a text per row")
    parser.add_argument("--task", default="stress", help="a shipped task (default: stress)")
    parser.add_argument("--bundle", type=Path, help="another bundle than the shipped task's")
    parser.add_argument("--kills", type=int, default=0, help="how often to kill -9 the worker")
    parser.add_argument("--seed", type=int, default=0, help="of the kills' moments")
    parser.add_argument("--rate", type=float, default=0, help="messages a second; 0 (default) is at once")
    parser.add_argument("--partitions", type=int, default=4)
    parser.add_argument("--json", type=Path, help="write the figures here too")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
