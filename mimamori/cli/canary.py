"""`mimamori canary`: whether a canary may go on, by its labels beside those of the bundle that runs."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Annotated, Final

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from engine.errors import TaskError, extra_for
from mimamori.cli.against import show_left_out
from mimamori.cli.labelled import Json, print_report
from mimamori.cli.live import Cases, DeadLetters, Decisions, Labels, Task
from mimamori.cli.progress import bars

if TYPE_CHECKING:  # Importing the report at run time would need the adapt extra.
    from collections.abc import Iterator

    from mimamori.canary import CanaryReport, Ratio
    from schemas.events import Label

_SKEW_MS: Final = 60_000
_CODES: Final = {"go on": 0, "not yet": 3, "stop": 4}  # 1 is an error, and 2 a wrong command line
_COLOURS: Final = {"go on": "green", "stop": "red", "not yet": "yellow"}


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("canary", rich_help_panel="Screen")(canary)


def canary(
    task: Task = None,
    margin: Annotated[
        float, typer.Option(min=0.01, max=0.9, help="It may send people so much less: 0.2 is a fifth.")
    ] = 0.2,
    most_work: Annotated[
        float, typer.Option(min=1, help="It stops where it sends people more than so many times as much.")
    ] = 2.0,
    least: Annotated[int, typer.Option(min=1, help="Messages of its own, before it may go on.")] = 1500,
    confidence: Annotated[
        float, typer.Option(min=0.5, max=0.999, help="Of both answers, over all looks together.")
    ] = 0.95,
    last: Annotated[int, typer.Option(min=1, help="How many of the newest labels to read.")] = 2_000_000,
    labels: Labels = None,
    cases: Cases = None,
    decisions: Decisions = None,
    dead_letters: DeadLetters = None,
    as_json: Json = False,
) -> None:
    """Say whether a canary may go on: "go on" (exit code 0), "not yet" (3) or "stop" (4), and why.

    It reads the labels of the stretch in which the canary had the share that it has now, and compares what it
    sends to people with what the bundle that runs sends them. Both see fair samples of one stream, so that a
    difference beyond chance is the bundle's. To go on, the canary must be shown to send no less than the
    margin allows, and where people decided, on cases of both. It is stopped where it is shown to send less,
    to have less confirmed by people, to have missed more of those whom people found in samples, to fail on
    messages, or to make too much work.

        mimamori canary && echo "raise MIMAMORI_CANARY_SHARE"

    Look as often as you like: the tests are made for it. An error, such as a topic that cannot be read
    or a stream without a canary, has exit code 1, and a wrong command line 2. Nothing is written.
    """
    with extra_for("judging a canary", "adapt,cpu"):
        from mimamori.canary import Asked as Wanted
        from mimamori.canary import judge
    from mimamori.comparing.decided import events, read_decisions
    from mimamori.comparing.decided import labels as labels_in
    from mimamori.comparing.stretch import find_stretch
    from schemas.events import DeadLetter, Label, ReviewCase, ReviewDecision
    from schemas.topics import topic_names
    from worker.kafka.span import Asked, SpanReader
    from worker.registry.label_reading import LabelReader
    from worker.settings_source import load_settings

    settings = load_settings()
    config, names = settings.client_config, topic_names(settings.topic_prefix)
    left_out: Counter[str] = Counter()
    with bars() as progress:
        asked = Asked(labels or names[Label], last=last)
        with SpanReader(config, asked) as reader:
            from_start = all(span.begin == 0 for span in reader.spans)
        unread: Counter[str] = Counter()
        read = labels_in(config, asked, LabelReader.of(settings), progress, unread)
        stretch = find_stretch(_all_of(read, unread), task, left_out, from_start=from_start)
        since = max(0, int(stretch.since.timestamp() * 1000) - _SKEW_MS)
        decided = read_decisions(
            config,
            Asked(decisions or names[ReviewDecision], since_ms=since),
            Asked(cases or names[ReviewCase], since_ms=since),
            stretch.task,
            stretch.within,
            progress,
            left_out,
        )
        letters = Asked(dead_letters or names[DeadLetter], since_ms=since)
        dead = Counter(each.reason for each in events(config, letters, DeadLetter, progress, left_out))
    report = judge(stretch, decided, Counter(dead), left_out, Wanted(margin, most_work, least, confidence))
    print_report(report, _show, as_json=as_json)
    if code := _CODES[report.answer]:
        raise typer.Exit(code)


def _all_of(labels: Iterator[Label], unread: Counter[str]) -> Iterator[Label]:
    """The labels. Raises TaskError at their end, before anything else is said, if some could not be read."""
    yield from labels
    if unread:
        said = ", ".join(f"{number} are {why}" for why, number in unread.items())
        raise TaskError(f"nothing is said of labels that were not all read: {said}; see --labels")


def _show(report: CanaryReport) -> None:
    console = Console(soft_wrap=True)
    console.print(
        f"{escape(report.task)}: {report.new.bundle[:12]} has {report.share:.2%} of the messages beside "
        f"{report.old.bundle[:12]}, since {report.since}",
        highlight=False,
    )
    table = Table("", "runs", "canary", "canary / runs, for its share", header_style="bold")
    old, new = report.old, report.new
    table.add_row("messages", f"{old.messages:,}", f"{new.messages:,}", "")
    table.add_row(
        "to people", _share(old.sent, old.messages), _share(new.sent, new.messages),
        _times(report.ratios["to people"]),
    )  # fmt: skip
    counts = [old.verdicts.get("uncertain", 0), new.verdicts.get("uncertain", 0)]
    table.add_row(
        "  uncertain", _share(counts[0], old.messages), _share(counts[1], new.messages),
        _times(report.ratios["uncertain"]),
    )  # fmt: skip
    for name in sorted(old.severities.keys() | new.severities.keys()):
        counts = [old.severities.get(name, 0), new.severities.get(name, 0)]
        table.add_row(
            f"  {escape(name)}", _share(counts[0], old.messages), _share(counts[1], new.messages),
            _times(report.ratios[f"severity {name}"]),
        )  # fmt: skip
    table.add_row("truncated", _share(old.truncated, old.messages), _share(new.truncated, new.messages), "")
    sides = (report.judged.old, report.judged.new)
    table.add_row(
        "people agree",
        *(side.agreed for side in sides),
        _times(report.ratios["people agree"]),
    )
    table.add_row(
        "missed in samples",
        *(f"{side.samples_at_risk:,} of {side.samples:,}" for side in sides),
        _times(report.ratios["missed in samples"]),
    )
    console.print(table)
    if dead := ", ".join(f"{count} {reason}" for reason, count in sorted(report.dead_letters.items())):
        console.print(f"dead letters meanwhile, of either: {dead}", highlight=False)
    show_left_out(console, report.left_out)
    console.print(f"[bold {_COLOURS[report.answer]}]{report.answer.upper()}[/]")
    for why in report.why:
        console.print(f"  {escape(why)}", highlight=False)


def _share(count: int, of: int) -> str:
    return f"{count:,} ({count / max(1, of):.2%})"


def _times(ratio: Ratio) -> str:
    if ratio.value is None and ratio.high is None:
        return "-"
    high = "any" if ratio.high is None else f"{ratio.high:.2f}"
    value = "-" if ratio.value is None else f"{ratio.value:.2f}"
    return f"{value} ({ratio.low:.2f} to {high})"
