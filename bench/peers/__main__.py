"""One engine's process: `python -m bench.peers NAME SPEC.json [--prepare]`. It reads and writes JSON lines.

-> {"event": "loaded", "runs": …, "first_score_s": …, "row_s": …}
<- {"round": 1, "rows": 12}   -> {"event": "round", "messages": 12, "seconds": …, "rss": …, "answers": […]}
<- (end of input)         the process ends
-> {"event": "failed", "why": …}   at any time; the process ends
"""

import contextlib
import importlib
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from bench.peers import ENTRIES, Engine, Rows
from bench.peers.spec import Spec

BEGAN = time.monotonic()


def main() -> int:
    """Load the engine, then run one timed round for each line of stdin."""
    name, spec = sys.argv[1], Spec.load(Path(sys.argv[2]))
    say = _private_stdout()
    try:
        module: Any = importlib.import_module(ENTRIES[name].module)
        if "--prepare" in sys.argv[3:]:
            if hasattr(module, "prepare"):
                module.prepare(spec)
            say({"event": "prepared"})
            return 0
        engine: Engine = module.Peer(spec)
        few = spread(spec.rows, 3)
        engine.read(few[:1])
        first_score_s = time.monotonic() - BEGAN
        began = time.perf_counter()
        engine.read(few[1:])
        row_s = (time.perf_counter() - began) / 2
        say({"event": "loaded", "runs": engine.runs, "first_score_s": first_score_s, "row_s": row_s})
        for line in sys.stdin:
            command = json.loads(line)
            rows = spread(spec.rounds[command["round"]], command["rows"])
            began = time.perf_counter()
            answers = engine.read(rows)
            seconds = time.perf_counter() - began
            say({"event": "round", "messages": len(rows), "seconds": seconds, "answers": answers, **memory()})
    except Exception as error:  # whatever a peer raises, the others must go on
        line = (str(error).strip() or "no message").splitlines()[0][:300]
        say({"event": "failed", "why": f"{type(error).__name__}: {line}"})
        raise
    return 0


def spread(rows: Rows, count: int) -> Rows:
    """`count` rows, evenly spaced in order of length, so that their lengths represent all rows."""
    ordered = sorted(rows, key=len)
    if count >= len(ordered):
        return rows
    return [ordered[int((number + 0.5) * len(ordered) / count)] for number in range(count)]


def memory() -> dict[str, int]:
    """The resident bytes now, and their peak."""
    with contextlib.suppress(OSError):
        lines = Path("/proc/self/status").read_text().splitlines()
        sizes = {line.split(":")[0]: line.split()[1] for line in lines if line.startswith(("VmRSS", "VmHWM"))}
        return {"rss": int(sizes["VmRSS"]) * 1024, "rss_peak": int(sizes["VmHWM"]) * 1024}
    return {}


def _private_stdout() -> Any:
    """Reserve stdout for our lines, and send what libraries print to stderr."""
    out = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)

    def say(event: dict[str, Any]) -> None:
        out.write(json.dumps(event) + "\n")

    return say


if __name__ == "__main__":
    sys.exit(main())
