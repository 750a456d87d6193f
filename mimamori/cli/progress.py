"""Shows progress bars on standard error, one for each stage of a long piece of work."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn


@contextmanager
def bars() -> Iterator[Callable[[str, int, int], None]]:
    """Yield `report(stage, done, total)`. A stage with a total of 0 shows only that it is running."""
    columns = (SpinnerColumn(), TextColumn("{task.description:<24}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
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
