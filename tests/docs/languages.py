"""What starts the examples of docs/examples/connect: this Python, a Java and its compiler, and Node.

The compiler is Eclipse's, since the Java of the sandbox has none: 3 MB from Maven Central, once, into the
cache folder. `tests/fakes/node.py` says where Node comes from.
"""

import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from jgo.maven import MavenContext, PythonResolver

from mimamori.sandbox.java import find_java, home, kafka_classpath
from tests.fakes.node import node_with

EXAMPLES: Final = Path(__file__).parents[2] / "docs" / "examples" / "connect"
COMPILER: Final = ("org.eclipse.jdt", "ecj", "3.46.0")
QUICK: Final = ("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xmx128m")


def python(_folder: Path) -> list[str]:
    return [sys.executable, str(EXAMPLES / "python" / "connect.py")]


def java(folder: Path) -> list[str]:
    """Compile it into the folder, without a warning."""
    program, classpath = str(find_java()), kafka_classpath(lambda _: None)
    group, name, version = COMPILER
    maven = MavenContext(resolver=PythonResolver(), repo_cache=home() / "maven")
    compiler = maven.project(group, name).at_version(version).artifact().resolve()
    source = EXAMPLES / "java" / "Connect.java"
    compile_it = ["-source", "17", "-target", "17", "-failOnWarning", "-cp", classpath, "-d", str(folder)]
    _run(program, *QUICK, "-jar", str(compiler), *compile_it, str(source))
    return [program, *QUICK, "-cp", f"{folder}:{classpath}", "Connect"]


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
