"""Formats Kafka's data folders as its own tool did once: each time, a JVM for that takes most of a second.

The tool writes two files: `meta.properties` says of which cluster and which node the folder is, and
`bootstrap.checkpoint` holds the features that a new cluster begins with. The second is the same for each
cluster of one Kafka, whoever its users are. It is kept beside the class archive, and the first file is
written here, with an id of its own for each folder.
"""

import base64
import hashlib
import shutil
import uuid
from contextlib import suppress
from pathlib import Path
from typing import Final

_FEATURES: Final = "bootstrap.checkpoint"
_META: Final = "meta.properties"


class Formatting:
    """What the tool of one class path wrote, kept in `home`."""

    def __init__(self, classpath: str, home: Path) -> None:
        digest = hashlib.sha256(classpath.encode()).hexdigest()[:16]
        self._kept = home / f"kafka-features-{digest}.checkpoint"

    def again(self, folder: Path, cluster_id: str, node: int) -> bool:
        """Format the new `folder` for a node of a cluster. False: Kafka's tool has not done it yet."""
        if not self._kept.exists():
            return False
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(self._kept, folder / _FEATURES)
        own = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        lines = [f"cluster.id={cluster_id}", f"directory.id={own}", f"node.id={node}", "version=1", ""]
        (folder / _META).write_text("\n".join(lines))  # the last, since it says that the folder is formatted
        return True

    def keep(self, folder: Path) -> None:
        """Keep what the tool has written into `folder`."""
        with suppress(OSError):  # where `home` is read-only, the tool is asked again each time
            self._kept.parent.mkdir(parents=True, exist_ok=True)
            beside = self._kept.with_suffix(f".{uuid.uuid4().hex[:8]}")
            shutil.copyfile(folder / _FEATURES, beside)
            beside.rename(self._kept)  # atomic: no reader sees half a file
