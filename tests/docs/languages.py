"""What starts the examples of docs/examples/connect: this Python, a Java and its compiler, and Node.

`tests/fakes/java_program.py` and `tests/fakes/node.py` say where the last two come from.
"""

import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from tests.fakes.java_program import command, compiled
from tests.fakes.node import node_with

EXAMPLES: Final = Path(__file__).parents[2] / "docs" / "examples" / "connect"


def python(_folder: Path) -> list[str]:
    return [sys.executable, str(EXAMPLES / "python" / "connect.py")]


def java(folder: Path) -> list[str]:
    """Compile it into the folder, without a warning."""
    return command("Connect", compiled(EXAMPLES / "java" / "Connect.java", folder), [])


def typescript(_folder: Path) -> list[str]:
    """Check its types, and fetch its packages by the hashes of its lock file."""
    node, fetched = node_with(EXAMPLES / "typescript", oldest=24)
    _run(node, str(fetched / "node_modules" / "typescript" / "bin" / "tsc"), "--project", str(fetched))
    return [node, str(fetched / "connect.ts")]


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=240)
    assert done.returncode == 0, done.stdout + done.stderr


LANGUAGES: Final[Mapping[str, Callable[[Path], list[str]]]] = {
    "python": python,
    "java": java,
    "typescript": typescript,
}
