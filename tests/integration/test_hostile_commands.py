"""What a user sees of files that are made to hurt: one line, soon, and no more than 1 GB of memory.

A few of each kind here; with HOSTILE_FILES=all every one of tests/fakes/hostile_files.py: some minutes.
"""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest

from tests.fakes import hostile_files as hostile

GIGABYTE: Final = 1 << 30
GUARD_S: Final = 60  # against a hang; on an idle machine the slowest takes ten

# A process counts the memory of the one that it was forked from: so the command is started by a small one.
_MEASURED: Final = """
import os, sys
process = os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ)
_, status, used = os.wait4(process, 0)
print(used.ru_maxrss * 1024)
sys.exit(os.waitstatus_to_exitcode(status) & 255)
"""

_EXAMPLES: Final = '{"text": "a good day", "at_risk": false}\n'


def _bundle(make: Callable[[Path], Path], *command: str) -> Callable[[Path], list[str]]:
    return lambda folder: [*command, str(make(folder / "bundle"))]


def _evaluate(make: Callable[[Path], Path]) -> Callable[[Path], list[str]]:
    def arguments(folder: Path) -> list[str]:
        (folder / "examples.jsonl").write_text(_EXAMPLES)
        return ["evaluate", str(make(folder / "bundle")), "--examples", str(folder / "examples.jsonl")]

    return arguments


def _build(
    source: bytes, name: str, alter: Callable[[Path], Path] = lambda recipe: recipe
) -> Callable[[Path], list[str]]:
    def arguments(folder: Path) -> list[str]:
        recipe, file = hostile.recipe_of(folder, source, name)
        return ["bundle", "build", str(alter(recipe)), "--out", str(folder / "out"), "--source", str(file)]

    return arguments


def _export(file: str, content: bytes) -> Callable[[Path], list[str]]:
    def arguments(folder: Path) -> list[str]:
        (folder / file).write_bytes(content)
        given = {"task": "stress", "model": "smollm2"} | {
            "task" if file.endswith("yaml") else "model": str(folder / file)
        }
        return ["export", "--out", str(folder / "out"), *(f"--{key}={value}" for key, value in given.items())]

    return arguments


COMMANDS: Final[dict[str, Callable[[Path], list[str]]]] = {
    **{name: _bundle(make, "bundle", "verify") for name, make in hostile.BUNDLES.items()},
    **{
        f"show {name}": _bundle(make, "bundle", "show")
        for name, make in hostile.BUNDLES.items()
        if "json" in name
    },
    **{f"tokenizer: {name}": _evaluate(make) for name, make in hostile.TOKENIZERS.items()},
    **{f"gguf: {name}": _build(content, "m.gguf") for name, content in hostile.GGUFS.items()},
    **{f"gguf to export: {name}": _export("m.gguf", content) for name, content in hostile.GGUFS.items()},
    **{f"safetensors: {name}": _build(c, "m.safetensors") for name, c in hostile.SAFETENSORS.items()},
    **{f"recipe: {name}": _build(b"", "m.gguf", alter) for name, alter in hostile.RECIPES.items()},
    **{f"task: {name}": _export("task.yaml", text.encode()) for name, text in hostile.TASKS.items()},
}

# Of each kind those that took gigabytes, hung or crashed before.
WORST: Final = (
    "bundle.json: a number without end",
    "npz: an array larger than anything",
    "npz: a bomb",
    "onnx: a path that leads out",
    "tokenizer: a pattern without end",
    "gguf: a list without end",
    "gguf: lists in lists",
    "gguf to export: a list of strings without end",
    "recipe: a bomb for a graph",
    "task: a thousand million merges",
    "task: nested lists",
)


@pytest.mark.parametrize("name", COMMANDS if os.environ.get("HOSTILE_FILES") == "all" else WORST)
def test_a_hostile_file_is_one_line(name: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-S", "-c", _MEASURED, sys.executable, "-m", "mimamori", *COMMANDS[name](tmp_path)],
        capture_output=True,
        text=True,
        timeout=GUARD_S,
        check=False,
    )
    # A bar of progress may stand above.
    errors = [line for line in done.stderr.splitlines() if line.strip() and "━" not in line]
    assert done.returncode == 1, done.stderr
    assert len(errors) == 1, done.stderr
    assert errors[0].startswith("error: ")
    assert "should not happen" not in errors[0]
    assert int(done.stdout.splitlines()[-1]) < GIGABYTE
