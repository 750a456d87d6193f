"""Makes `errors.md`: errors, exit codes and reasons of dead letters, from the classes and the schemas."""

import re
from collections.abc import Iterator
from inspect import getdoc
from typing import Final

import engine.errors
import export.errors
import mimamori.errors
import review.errors
import worker.errors
from docs.reference.markdown import code, paragraphs, table
from engine.errors import MimamoriError
from schemas.reasons import DEAD_LETTER_REASONS
from worker.stream import watchdog

TREES: Final = (MimamoriError, review.errors.DeskError, review.errors.DecisionRefusedError)
# All modules that define errors. Importing them here makes every error class known, even one that no other
# module imports.
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


def page() -> str:
    """Return the page."""
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
                ["reason", "what to mend", "who looks at it"],
                (
                    [code(reason), meaning.mend, meaning.looked_at_by]
                    for reason, meaning in DEAD_LETTER_REASONS.items()
                ),
            ),
        ]
    )


def classes(root: type[Exception]) -> Iterator[type[Exception]]:
    """Yield an error class and all its subclasses in the order of the page: a class before its subclasses."""
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
