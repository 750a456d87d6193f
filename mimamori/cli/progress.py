"""Shows progress bars on standard error, one for each stage of a long piece of work."""

import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, NoReturn

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

_TERMINATED: Final = 128 + signal.SIGTERM


@contextmanager
def bars() -> Iterator[Callable[[str, int, int], None]]:
    """Yield `report(stage, done, total)`. A stage with a total of 0 shows only that it is running.

    For so long SIGTERM ends the work as Ctrl-C does: what it has begun to write is removed.
    """
    columns = (SpinnerColumn(), TextColumn("{task.description:<24}"), BarColumn(), TimeElapsedColumn())
    with _terminable(), Progress(*columns, console=Console(stderr=True)) as progress:
        stages: dict[str, TaskID] = {}

        def report(stage: str, done: int, total: int) -> None:
            if stage not in stages:
                for earlier in stages.values():
                    progress.update(earlier, total=1, completed=1)
                stages[stage] = progress.add_task(stage, total=None)
            progress.update(stages[stage], completed=done, total=total or None)

        yield report
        for stage in stages.values():
            progress.update(stage, total=1, completed=1)


@contextmanager
def _terminable() -> Iterator[None]:
    """Have SIGTERM raise SystemExit, where nothing else waits for it already."""
    mine = threading.current_thread() is threading.main_thread()
    if not mine or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return

    def end(*_: object) -> NoReturn:
        sys.exit(_TERMINATED)

    signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
