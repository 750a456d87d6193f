"""`errors.md`: errors, exit codes and reasons of dead letters, from the classes and the schemas."""

import re
from collections.abc import Iterator, Mapping
from inspect import getdoc
from typing import Final

import engine.errors
import export.errors
import mimamori.errors
import review.errors
import worker.errors
from docs.reference.events import explained, values_of
from docs.reference.markdown import code, paragraphs, table
from engine.errors import MimamoriError
from worker.stream import watchdog

TREES: Final = (MimamoriError, review.errors.DeskError, review.errors.DecisionRefusedError)
# All that define errors. Named here so that a class that nothing else imports is in its tree.
MODULES: Final = (engine.errors, worker.errors, export.errors, mimamori.errors, review.errors)

INTRODUCTION: Final = """# Errors

An error that Mimamori raises on purpose is one line on standard error: what is wrong, where, what to do. It
never carries message text. Any other exception is a fault of Mimamori's own: its type and the lines it came
through are shown, its message is not, since that could quote someone's text.
"""

DEAD_LETTER: Final = """A dead letter says in `reason` why its record could not be screened, and in `origin`
where the record stands. Where a person looks, a review case of kind `unread` is written in the same
transaction.
"""

# What is wrong, and who looks at the record.
DEAD_LETTERS: Final[Mapping[str, tuple[str, str]]] = {
    "null_value": ("The record has no value (a tombstone).", "Nobody: nobody wrote anything."),
    "invalid_utf8": (
        "The value is in another encoding: send UTF-8.",
        "A person: there may be a message under it.",
    ),
    "invalid_json": (
        "The value is cut off or empty, holds NaN or half an emoji, or begins with a byte order mark.",
        "A person: there may be a message under it.",
    ),
    "schema_mismatch": (
        "A field is missing or wrong; `detail` names it.",
        "A person: there may be a message under it.",
    ),
    "unreadable_record": (
        "The record contradicts itself (an offset that Kafka never gave it); `detail` says how.",
        "A person: there may be a message under it.",
    ),
    "empty_text": (
        "The text is nothing but whitespace and invisible characters.",
        "Nobody: there is nothing to see.",
    ),
    "unknown_task": (
        "The message asks for a task that is not this worker's.",
        "Nobody here: the workers of its task answer for it, so check that they run.",
    ),
    "unscreenable": (
        "The model fails on this message alone, or the worker ended each time it read it.",
        "A person, before all others: somebody wrote it, and waits.",
    ),
    "text_too_long": ("Given by earlier versions only: a long text is read up to the limit now.", "-"),
}


def page() -> str:
    """The page. Raises ValueError: a reason of dead letters has no explanation here, or is gone."""
    reasons = values_of("dead-letter", "reason")
    explained(reasons, DEAD_LETTERS, "reasons of dead letters")
    codes = {
        0: "The command did what it was asked. A worker: it was asked to end (SIGTERM), and did.",
        MimamoriError.exit_code: "An error, named on standard error. `doctor`, `soak`: a fault was found.",
        2: "The command line is wrong: an unknown option, a missing argument.",
        watchdog.EXIT_CODE: "The watchdog ended a worker whose model never answered; start it again.",
    }
    return "\n".join(
        [
            INTRODUCTION,
            "## Exit codes\n",
            table(["code", "when"], ([code(number), meaning] for number, meaning in codes.items())),
            "## Kinds of error\n",
            "The bullets below an error are its kinds.\n",
            *(line for tree in TREES for line in [*_tree(tree), ""]),
            "## Reasons of dead letters\n",
            DEAD_LETTER,
            table(
                ["reason", "what is wrong", "who looks at it"], ([code(r), *DEAD_LETTERS[r]] for r in reasons)
            ),
        ]
    )


def classes(root: type[Exception]) -> Iterator[type[Exception]]:
    """An error and every kind of it, as it is drawn: outer before inner."""
    yield root
    for kind in root.__subclasses__():
        if kind.__module__ in {module.__name__ for module in MODULES}:
            yield from classes(kind)


def _tree(root: type[Exception]) -> list[str]:
    lines = []
    for error in classes(root):
        depth = len(error.__mro__) - len(root.__mro__)
        meaning = re.split(r"\n\s*\n", paragraphs(getdoc(error)))[0].replace("\n", " ")
        lines.append(
            f"{'    ' * depth}- **`{error.__name__}`** ({error.__module__.partition('.')[0]}): {meaning}"
        )
    return lines
