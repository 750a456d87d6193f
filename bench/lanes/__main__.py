"""The process of one lane: `python -m bench.lanes NAME JOB.json`. It runs until SIGTERM or SIGKILL."""

import importlib
import sys
from pathlib import Path
from typing import Any

from bench.lanes import LANES
from bench.lanes.job import Job


def main() -> None:
    """Run the lane until a signal ends the process."""
    name, job = sys.argv[1], Job.load(Path(sys.argv[2]))
    module: Any = importlib.import_module(LANES[name].module)
    module.run(job, name)


if __name__ == "__main__":
    main()
