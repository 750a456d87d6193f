"""What an image's name stands for here: the project's own image is the environment that runs the tests."""

import re
import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.cluster.programs import REPOSITORY


class NoImageError(Exception):
    """An image's name stands for nothing."""


@dataclass(frozen=True)
class Image:
    """What a container's program is, where the pod does not say it."""

    entrypoint: list[str]
    command: list[str]
    environment: dict[str, str]
    folder: str
    user: int


@dataclass(frozen=True)
class Images:
    """Every image there is: `repositories` hold programs; `folders`, by the whole name, are for volumes."""

    repositories: Mapping[str, Image]
    folders: Mapping[str, Path] = field(default_factory=dict)

    def program(self, name: str) -> Image:
        """The image of a container. Raises NoImageError."""
        repository = re.sub(r"(@sha256:\w+|:[\w.-]+)$", "", name)
        if repository not in self.repositories:
            raise NoImageError(f"there is no image {name}")
        return self.repositories[repository]

    def folder(self, name: str) -> Path:
        """The image of a volume. Raises NoImageError."""
        if name not in self.folders:
            raise NoImageError(f"there is no image {name}")
        return self.folders[name]


def from_dockerfile(dockerfile: Path = REPOSITORY / "Dockerfile") -> Image:
    """The project's image as its Dockerfile describes it, with the programs of this environment."""
    text = dockerfile.read_text().rpartition("\nFROM ")[2].replace("\\\n", " ")
    said = dict(re.findall(r"^(ENV|WORKDIR|USER|ENTRYPOINT|CMD) (.+)$", text, re.MULTILINE))
    environment = dict(part.split("=", 1) for part in shlex.split(said["ENV"]))
    environment["PATH"] = f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin"
    return Image(
        entrypoint=_words(said["ENTRYPOINT"]),
        command=_words(said["CMD"]),
        environment=environment,
        folder=said["WORKDIR"],
        user=int(said["USER"].partition(":")[0]),
    )


def _words(said: str) -> list[str]:
    return re.findall(r'"([^"]*)"', said)
