"""Compiles a Java source file and runs it on the sandbox's Java, for the examples in docs/examples/.

The wheel's Java is a JRE: it has no compiler. Eclipse's compiler is one jar of 3 MB that a JRE runs. Jars
come from Maven Central (or MAVEN_CENTRAL_URL), once, into MIMAMORI_HOME; Kafka's client, Jackson and log4j
are already there, among the sandbox's own.
"""

import os
import subprocess
import zipfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from filelock import FileLock

from mimamori.sandbox import java

COMPILER: Final = "org.eclipse.jdt:ecj:3.46.0"
RELEASE: Final = "17"  # as old as the sandbox's Java may be


def jars(*coordinates: str) -> list[Path]:
    """The jar of each `group:artifact:version`, without what it depends on, downloaded where needed."""
    from jgo.maven import MavenContext, PythonResolver  # noqa: PLC0415 - imports slowly

    folder = java.home() / "maven"
    folder.mkdir(parents=True, exist_ok=True)
    mirror = os.environ.get("MAVEN_CENTRAL_URL")
    with FileLock(folder / "download.lock"):  # the suite runs in several processes
        maven = MavenContext(
            resolver=PythonResolver(),
            repo_cache=folder,
            remote_repos={"central": mirror} if mirror else None,
        )
        found = []
        for each in coordinates:
            group, artifact, version = each.split(":")
            found.append(Path(maven.project(group, artifact).at_version(version).artifact().resolve()))
    for jar in found:
        assert zipfile.is_zipfile(jar), f"{jar.name}: what was downloaded is no jar"
    return found


def class_path(*more: Path) -> str:
    """The sandbox's own jars, and these."""
    return os.pathsep.join([*map(str, more), java.kafka_classpath(print)])


def compiled(source: Path, folder: Path, *libraries: Path) -> Path:
    """Compile one source file; returns `folder`, with its classes. A warning fails, like an error.

    Raises AssertionError with what the compiler said.
    """
    [compiler] = map(str, jars(COMPILER))
    run = [str(java.find_java()), "-XX:TieredStopAtLevel=1", "-jar", compiler]
    asks = ["-failOnWarning", "-source", RELEASE, "-target", RELEASE, "-d", str(folder)]
    told = subprocess.run(
        [*run, *asks, "-cp", class_path(*libraries), str(source)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert told.returncode == 0, told.stdout + told.stderr
    return folder


def command(main: str, classes: Path, libraries: Sequence[Path], options: Iterable[str] = ()) -> list[str]:
    """What runs the class `main` of `classes`. `options` are the JVM's."""
    return [
        *(str(java.find_java()), "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", *options),
        *("-cp", class_path(classes, *libraries), main),
    ]
