"""`mimamori task new|check`: make and check a task's files, which docs/how-to/write-a-task.md explains."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from mimamori.new_task import FEWEST, read_contents, write_task

tasks = typer.Typer(name="task", help="Write a screening task of your own.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add the commands to the app."""
    app.add_typer(tasks, rich_help_panel="Model")


@tasks.command("new")
def new_command(
    name: Annotated[str, typer.Argument(help="Letters, digits and dashes.", show_default=False)],
    folder: Annotated[Path, typer.Option(help="Where to write; it is made where it is missing.")] = Path(),
) -> None:
    """Write NAME.yaml and two files of labelled examples, to be filled in. They already load as written."""
    paths = write_task(name, folder)
    console = Console()
    for path in paths:
        console.print(f"wrote {path}", soft_wrap=True, highlight=False, markup=False)
    console.print(
        f"Replace every REPLACE (docs/how-to/write-a-task.md), then: mimamori task check {paths[0]}",
        soft_wrap=True,
        highlight=False,
        markup=False,
    )


@tasks.command("check")
def check_command(
    task: Annotated[Path, typer.Argument(help="The task's YAML file.", show_default=False)],
) -> None:
    """Check a task's YAML and the files of examples beside it, and say what is still to be done."""
    loaded, contents = read_contents(task)
    said = [f"{task}: the task {loaded.name}, {len(loaded.level_names)} levels of severity"]
    if "REPLACE" in task.read_text(encoding="utf-8"):
        said.append(f"{task}: still says REPLACE")
    for one in contents:
        levels = ", ".join(f"{name} {count}" for name, count in one.levels.items())
        said.append(f"{one.path}: {one.rows} examples, {one.at_risk} at risk ({levels})")
        if one.unwritten:
            said.append(f"{one.path}: {one.unwritten} texts still say REPLACE")
        if one.rows < FEWEST and one.path.name.endswith(".examples.jsonl"):
            said.append(f"{one.path}: adapt needs {FEWEST} examples or more")
    if not contents:
        said.append(f"no {task.stem}.examples.jsonl beside it: the prompted reading needs none, adapt does")
    for line in said:
        Console().print(line, soft_wrap=True, highlight=False, markup=False)
