"""One lane's process: `python -m bench.lanes NAME JOB.json`. Ends with SIGTERM or SIGKILL."""

import importlib
import sys
from pathlib import Path
from typing import Any

from bench.lanes import LANES
from bench.lanes.job import Job


def main() -> None:
    """Run the lane until it is ended."""
    name, job = sys.argv[1], Job.load(Path(sys.argv[2]))
    module: Any = importlib.import_module(LANES[name].module)
    module.run(job, name)


if __name__ == "__main__":
    main()
