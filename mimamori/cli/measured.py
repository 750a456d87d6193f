"""What `mimamori evaluate` can be asked besides a bundle and a file: its options, and how they are read."""

from pathlib import Path
from typing import Annotated, Final

import typer

from engine.errors import SettingsError

_FILE: Final = "What the file's columns mean"
_REPORT: Final = "The report"
_SHOTS: Final = "How few labels are enough (a full bundle)"
TextColumn = Annotated[
    str | None, typer.Option(help="The column of texts. Default: text.", rich_help_panel=_FILE)
]
LabelColumn = Annotated[
    str | None, typer.Option(help="The column of labels. Default: at_risk.", rich_help_panel=_FILE)
]
SeverityColumn = Annotated[
    str | None,
    typer.Option(
        help="The column of severity levels, in the task's words. Default: severity; - reads none.",
        rich_help_panel=_FILE,
    ),
]
AtRisk = Annotated[
    list[str] | None,
    typer.Option("--at-risk", help="A label that means at risk; repeat it for more.", rich_help_panel=_FILE),
]
NotAtRisk = Annotated[
    list[str] | None,
    typer.Option(
        "--not-at-risk", help="A label that means not at risk; may be repeated.", rich_help_panel=_FILE
    ),
]
SliceOption = Annotated[
    list[str] | None,
    typer.Option(
        "--slice", help="Measure recall by this column as well; may be repeated.", rich_help_panel=_FILE
    ),
]
ReportOption = Annotated[
    Path | None,
    typer.Option(
        help="Write the report to this .html, and its JSON beside it; neither may exist yet.",
        rich_help_panel=_REPORT,
    ),
]
ShowText = Annotated[
    bool,
    typer.Option(
        "--show-text", help="Show the texts of the worst errors. Default: masked.", rich_help_panel=_REPORT
    ),
]
Prevalence = Annotated[
    float | None,
    typer.Option(
        min=0.0, max=1.0, help="Share of your stream that is at risk, such as 0.02.", rich_help_panel=_REPORT
    ),
]
CostPerHour = Annotated[
    float | None,
    typer.Option(min=0.0, help="What an hour of a machine like this one costs.", rich_help_panel=_REPORT),
]
Seed = Annotated[int, typer.Option(min=0, help="Of the bootstrap and of the draws.", rich_help_panel=_REPORT)]
TrainOption = Annotated[
    Path | None,
    typer.Option(
        help="Labelled examples to draw from, in the columns of --examples.", rich_help_panel=_SHOTS
    ),
]
ShotsOption = Annotated[
    str,
    typer.Option(help="Numbers of labelled examples in all, half of them at risk.", rich_help_panel=_SHOTS),
]
Draws = Annotated[int, typer.Option(min=1, help="How many draws of each number.", rich_help_panel=_SHOTS)]
Traffic = Annotated[
    str | None,
    typer.Option(help="Unlabelled messages to distil on: a file, or topic:NAME.", rich_help_panel=_SHOTS),
]
Depths = Annotated[str, typer.Option(help="How many layers distilled readings have.", rich_help_panel=_SHOTS)]


def numbers(option: str, given: str) -> tuple[int, ...]:
    """The whole numbers of an option, as in 0,1,5, each once.

    Raises SettingsError: it holds something else.
    """
    try:
        found = tuple(int(each) for each in given.split(","))
    except ValueError:
        raise SettingsError(
            f"{option} {given}: give whole numbers with commas between, as in 0,10,50"
        ) from None
    if min(found) < 0:
        raise SettingsError(f"{option} {given}: no number may be below 0")
    return tuple(dict.fromkeys(found))


def columns_of(text: str | None, label: str | None, severity: str | None) -> dict[str, str]:
    """The columns that have another name than their field."""
    given = {"text": text, "at_risk": label, "severity": None if severity == "-" else severity}
    return {field: column for field, column in given.items() if column is not None}
