"""Writes the files of a new screening task, to be filled in, and reads what a task's files contain so far.

    NAME.yaml              what to look for, how to ask, the levels of severity
    NAME.examples.jsonl    labelled examples that `mimamori adapt` fits to
    NAME.heldout.jsonl     others, by another author, that `mimamori evaluate` measures on

They already load as written. A text that begins with REPLACE is still to be replaced;
docs/how-to/write-a-task.md explains how to write good ones.
"""

from collections import Counter
from pathlib import Path
from typing import Final

import msgspec

from engine.errors import TaskError
from engine.task import Task, load_task
from export.examples import LabelledExample, read_examples

REPLACE: Final = "REPLACE"
ROWS: Final = {"examples": 12, "heldout": 6}
FEWEST: Final = 10  # `mimamori adapt` needs at least this many

YAML: Final = """\
# What this task looks for, in one sentence; docs/how-to/write-a-task.md explains every field.
name: {name}
description: REPLACE with one sentence that says what is noticed, and for whom.
languages: [en]

# Both questions share the instruction; it is read once, at start. Two or three sentences are enough.
instruction: >-
  You read one short message from REPLACE: which platform. Judge whether REPLACE: what it does.
  Judge the meaning, not single words.
message: "Message: {{message}}"

risk:
  question: REPLACE with a question about the message? Answer only Yes or No.
  clear: "No"   # quoted: YAML reads a bare No as false
  at_risk: "Yes"

severity:
  question: >-
    REPLACE with how serious it is? A: the least. B: in between. C: the most. Answer only A, B or C.
  levels: # least to most severe; the meaning is what a reviewer reads
    - {{name: low, answer: A, meaning: "REPLACE with what the least severe level means."}}
    - {{name: medium, answer: B, meaning: "REPLACE with what lies in between."}}
    - {{name: high, answer: C, meaning: "REPLACE with what the most severe level means."}}

policy: # the two thresholds hold until `mimamori adapt` has fitted others
  lower: 0.3
  upper: 0.7
  tolerated_miss_rate: 0.1 # the share of true cases that the safety lead accepts to miss
  quality_sample_share: 0.01
"""


class Contents(msgspec.Struct, frozen=True):
    """What a file of examples holds: all rows, those at risk, rows by level, texts still to be written."""

    path: Path
    rows: int
    at_risk: int
    levels: dict[str, int]
    unwritten: int


def write_task(name: str, folder: Path) -> list[Path]:
    """Write the three files into `folder`, which is made if it is missing, and return their paths.

    Raises TaskError: the name is not valid, one of the files exists, or the folder cannot be written to.
    """
    if not name or not all(c.isascii() and (c.isalnum() or c == "-") for c in name):
        raise TaskError(f"a task's name is letters, digits and dashes: {name!r} is not")
    task = folder / f"{name}.yaml"
    paths = [task, *(_beside(task, part) for part in ROWS)]
    if there := [str(path) for path in paths if path.exists()]:
        raise TaskError(f"{', '.join(there)} exists already: give another name or folder")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        task.write_text(YAML.format(name=name), encoding="utf-8")
        levels = load_task(task).level_names
        for part, rows in ROWS.items():
            lines = b"".join(msgspec.json.encode(_row(part, row, levels)) + b"\n" for row in range(rows))
            _beside(task, part).write_bytes(lines)
    except OSError as error:
        raise TaskError(f"cannot write to {folder}: {error.strerror}") from None
    return paths


def read_contents(path: Path) -> tuple[Task, list[Contents]]:
    """Read a task, and what the files of examples beside it hold, if they exist.

    Raises TaskError: a file does not load, or a text is in both files of examples.
    """
    task = load_task(path)
    found = {file: read_examples(file, task) for part in ROWS if (file := _beside(path, part)).is_file()}
    texts = Counter(text for rows in found.values() for text in {row.text for row in rows})
    if shared := sum(count > 1 for count in texts.values()):
        raise TaskError(
            f"{shared} texts are in both {' and '.join(map(str, found))}: "
            "what the heads were fitted on measures nothing, so write others"
        )
    return task, [_contents(file, rows, task) for file, rows in found.items()]


def _beside(task: Path, part: str) -> Path:
    return task.with_name(f"{task.stem}.{part}.jsonl")


def _row(part: str, number: int, levels: tuple[str, ...]) -> dict[str, str | bool | None]:
    """Make a row to be filled in. Every other row is at risk, and these take all levels in turn."""
    at_risk = number % 2 == 0
    kind = "a message at risk" if at_risk else "a harmless message, best one that only sounds alarming"
    return {
        "text": f"{REPLACE} with {kind} ({part} {number + 1})",
        "at_risk": at_risk,
        "severity": levels[number // 2 % len(levels)] if at_risk else None,
        "language": "en",
        "note": None,
    }


def _contents(file: Path, rows: list[LabelledExample], task: Task) -> Contents:
    levels = Counter(row.severity for row in rows)
    return Contents(
        path=file,
        rows=len(rows),
        at_risk=sum(row.at_risk for row in rows),
        levels={name: levels[name] for name in task.level_names},
        unwritten=sum(row.text.startswith(REPLACE) for row in rows),
    )
