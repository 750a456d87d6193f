"""`make guard`: fails when this engine has lost more than a fifth of its lead over optimum's.

    python -m bench.guard             measure, and compare with docs/benchmarks/engine-guard.json
    python -m bench.guard --record    write the ratio of this machine's class there

Both engines run the same messages without shots, in turn. Only the ratio of their rates counts, so that a
slow or busy machine does not fail. Where the ratio is too low, everything is measured once more. On a class
of CPU without a recorded ratio, the check is skipped with a message. Making optimum's model takes a minute,
once.
"""

import argparse
import json
import os
import statistics
import sys
from pathlib import Path

from bench.peers import ENTRIES
from bench.yardstick.bundles import prompted_bundle
from bench.yardstick.machine import cores, cpu_class
from bench.yardstick.rounds import Measured, Plan, measure, prepare
from bench.yardstick.workload import Workload, read_texts
from export.building.source import find_model

OURS, THEIRS = "mimamori", "optimum"
RECORD = Path(__file__).resolve().parents[1] / "docs" / "benchmarks" / "engine-guard.json"
TOLERATED_LOSS = 0.2
MESSAGES, ROUNDS, SECONDS = 48, 5, 2.0


def main() -> int:
    """Print both rates and the ratio. Returns 1 where the ratio is too low, or could not be measured."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--record", action="store_true", help="write the ratio measured here")
    options = parser.parse_args()
    recorded = json.loads(RECORD.read_text()) if RECORD.is_file() else {}
    kind = cpu_class()
    if kind not in recorded and not options.record:
        print(f"guard: skipped, no ratio is recorded for {kind}: python -m bench.guard --record")
        return 0
    for name in (OURS, THEIRS):
        if missing := ENTRIES[name].missing:
            print(f"guard: {name} lacks {', '.join(missing)}: {ENTRIES[name].install}")
            return 1
    floor = (1 - TOLERATED_LOSS) * recorded.get(kind, {}).get("ratio", 0.0)
    for _ in range(2):
        ratio = once(kind)
        if options.record and ratio is not None:
            recorded[kind] = {"ratio": round(ratio, 2)}
            RECORD.write_text(json.dumps(recorded, indent=2, sort_keys=True) + "\n")
            print(f"guard: recorded {ratio:.2f} for {kind}")
            return 0
        if ratio is not None and ratio >= floor:
            print(f"guard: {ratio:.2f} is at least {floor:.2f}, good")
            return 0
        print(f"guard: below {floor:.2f}")
    print(f"guard: {OURS} has lost more than {TOLERATED_LOSS:.0%} of its lead over {THEIRS} ({kind})")
    return 1


def once(kind: str) -> float | None:
    """The median over rounds of our rate over theirs; a round measures both right after one another."""
    work = Path(os.environ.get("MIMAMORI_HOME", "~/.cache/mimamori")).expanduser() / "bench"
    work.mkdir(parents=True, exist_ok=True)
    full = prompted_bundle(0, work)
    workload = Workload(full, read_texts(None), MESSAGES, ROUNDS)
    plan = Plan(ROUNDS, SECONDS, work, cores())
    spec = workload.spec(full, find_model("smollm2").weights[0], work, plan.threads)
    if why := prepare(THEIRS, spec, plan):
        print(f"guard: {THEIRS}: {why}")
        return None
    results = measure({OURS: spec, THEIRS: spec}, plan, lambda _: None, with_peak=False)
    if failed := {name: result.failed for name, result in results.items() if result.failed}:
        print(f"guard: {failed}")
        return None
    ratio = paired(results[OURS], results[THEIRS])
    rates = ", ".join(f"{name} {result.rate:.1f}" for name, result in results.items())
    print(f"guard: {rates} messages/s; ratio {ratio:.2f} ({kind})")
    return ratio


def paired(ours: Measured, theirs: Measured) -> float:
    """The median of the rounds' ratios."""
    return statistics.median(a / b for a, b in zip(ours.rates, theirs.rates, strict=True))


if __name__ == "__main__":
    sys.exit(main())
