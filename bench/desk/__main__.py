"""The review desk with many open cases: how fast its pages are, and how long a restart takes.

    python -m bench.desk                    100,000 open cases, 100,000 settled: the index alone, then a real
                                            desk on a real Kafka
    python -m bench.desk --cases 10000      fewer open ones
    python -m bench.desk --taken-in 100000  all of them come through their topic: a quarter of an hour
    python -m bench.desk --index            the index alone: seconds, and no Kafka

The index is filled with made cases of two tasks, and asked as pages and claims ask it. Then the desk runs as
its users run it. Most cases are in its table's changelog already, sealed, as a desk has left them; the others
come through their topic. Pages are fetched over HTTP by somebody who has signed in, one at a time: of every
filter, at the front, anywhere, in the middle; quiet, while somebody else watches the figures, and while cases
arrive. Then the desk is killed (-9) and started again, with its table and without. It is ready when every
case is back. The machine's load stands beside each figure.
"""

import argparse
import json
from pathlib import Path

from bench.desk.index import measure_index
from bench.desk.served import measure_desk
from bench.yardstick.machine import describe


def main() -> None:
    """Measure, and print each figure as it comes."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.desk",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--cases", type=int, default=100_000, help="open cases")
    parser.add_argument("--settled", type=int, default=100_000, help="settled cases")
    parser.add_argument(
        "--taken-in", type=int, default=3000, help="how many of the open cases come through their topic"
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--index", action="store_true", help="the index alone")
    parser.add_argument("--json", type=Path, help="write everything to this file as well")
    options = parser.parse_args()

    def say(name: str, value: object) -> None:
        print(f"{name}: {json.dumps(value)}", flush=True)

    results: dict[str, object] = {"index, ms": measure_index(options.cases, options.seed)}
    print(json.dumps(results, indent=1), flush=True)
    if not options.index:
        results["desk"] = measure_desk(
            options.cases,
            options.seed,
            taken_in=min(options.taken_in, options.cases),
            decided=options.settled,
            say=say,
        )
    if options.json:
        everything = {"machine": describe(), "cases": options.cases, "seed": options.seed, **results}
        options.json.write_text(json.dumps(everything, indent=1) + "\n")


if __name__ == "__main__":
    main()
