"""`mimamori compare`: two bundles on the same messages, or a shadow's labels against the labels."""

from __future__ import annotations

import inspect
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import msgspec
import typer

from engine.bundle import read_manifest
from engine.device_names import DeviceChoice, PrecisionChoice
from engine.errors import SettingsError, TaskError, extra_for
from export.examples import LabelledExample, read_examples
from mimamori.cli.against import (
    FromOffset,
    FromTopic,
    Last,
    ToOffset,
    note_pin,
)
from mimamori.cli.compared import show_compared
from mimamori.cli.labelled import FILES, Json, print_report
from mimamori.cli.progress import bars
from mimamori.cli.reading import SeparatorOption, notice
from schemas.events import Label, ShadowLabel
from schemas.topics import topic_names
from worker.settings_source import load_settings
from worker.telemetry.logs import configure_logs

if TYPE_CHECKING:  # Importing these at run time would need the adapt extra, and takes a second.
    from engine.task import Task
    from export.rows import Separator
    from mimamori.comparing.compare import Comparison
    from mimamori.comparing.sources import Progress, Source
    from worker.settings import Settings

WORSE: Final = 3  # the exit code that --fail-if-worse gives; 1 is an error, 2 a wrong command line
SHOWN: Final = 10  # changes of each kind, where a person reads

OldFolder = Annotated[Path | None, typer.Argument(help="Folder of the bundle that runs.", show_default=False)]
NewFolder = Annotated[Path | None, typer.Argument(help="Folder of the candidate.", show_default=False)]


def register(app: typer.Typer) -> None:
    """Add the command to the app."""
    app.command("compare", help=f"{inspect.getdoc(compare_command)}\n{FILES}", rich_help_panel="Model")(
        compare_command
    )


def compare_command(
    old: OldFolder = None,
    new: NewFolder = None,
    examples: Annotated[
        Path | None,
        typer.Option(help="Labelled examples that neither bundle has seen (JSONL, CSV, Parquet)."),
    ] = None,
    messages: Annotated[Path | None, typer.Option(help="A file of messages without labels.")] = None,
    from_topic: FromTopic = None,
    from_offset: FromOffset = None,
    to_offset: ToOffset = None,
    last: Last = None,
    labels: Annotated[
        str | None, typer.Option(help="With --shadow: the topic of labels; default: this prefix's.")
    ] = None,
    shadow: Annotated[
        str | None, typer.Option(help="Instead of bundles: the topic that a shadow wrote (shadow-labels).")
    ] = None,
    task: Annotated[str | None, typer.Option(help="With --shadow: of which task.")] = None,
    bootstrap: Annotated[str | None, typer.Option(help="Kafka brokers [MIMAMORI_BOOTSTRAP].")] = None,
    device: Annotated[DeviceChoice | None, typer.Option(help="Where to run [MIMAMORI_DEVICE].")] = None,
    precision: Annotated[
        PrecisionChoice | None, typer.Option(help="In which precision [MIMAMORI_PRECISION].")
    ] = None,
    threads: Annotated[
        int | None, typer.Option(min=0, help="Threads of a CPU device [MIMAMORI_THREADS].")
    ] = None,
    one_at_a_time: Annotated[
        bool,
        typer.Option("--one-at-a-time", help="Hold one bundle in memory at a time; speeds are not compared."),
    ] = False,
    show_text: Annotated[
        bool, typer.Option("--show-text", help="Show the texts of messages whose verdict changes.")
    ] = False,
    changes: Annotated[
        int, typer.Option(min=0, help="List up to so many messages of each kind of change.")
    ] = SHOWN,
    fail_if_worse: Annotated[
        bool, typer.Option("--fail-if-worse", help=f"Exit with {WORSE} where NEW is shown to be worse.")
    ] = False,
    margin: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=1,
            help="With --fail-if-worse: also where NEW may miss so much more (0.05 is 5 points).",
        ),
    ] = None,
    as_json: Json = False,
    separator: SeparatorOption = None,
) -> None:
    """Compare two bundles on the same messages: which verdicts change, misses, false alarms, cost.

    OLD runs, NEW is the candidate; both must screen for the same task. The messages come from --examples
    (labelled), --messages (not labelled), or --from-topic with a range of offsets. Both bundles are in memory
    and read in turns, so that their speeds compare; --one-at-a-time holds one.

        mimamori compare OLD NEW --examples unseen.csv --fail-if-worse --margin 0.05

    With --shadow no bundle is opened: what a shadow wrote is set against the labels of the same messages.

        mimamori compare --labels mimamori.labels --shadow mimamori.shadow-labels

    Nothing is written to Kafka and nothing committed. Changed messages are named by row, id or place; their
    texts are shown with --show-text alone.
    """
    configure_logs("console", logging.WARNING)  # The report already says what runs.
    given = {"bootstrap": bootstrap, "device": device, "precision": precision, "threads": threads}
    settings = load_settings(**{name: value for name, value in given.items() if value is not None})
    with extra_for("comparing", "adapt,cpu"):
        from export.adapting.adapt import examples_digest
        from export.comparing.conclusion import is_worse
    if margin is not None and not fail_if_worse:
        raise SettingsError("--margin says when --fail-if-worse fails: give both")
    with bars() as progress:
        if shadow is not None or labels is not None:
            if any(given is not None for given in (old, new, examples, messages, from_topic)):
                raise SettingsError(
                    "--labels and --shadow compare what two topics say: name no bundle and no messages"
                )
            found = _of_topics(settings, labels, shadow, task, progress, changes)
        elif old is None or new is None:
            raise SettingsError(
                "name two bundles, OLD and NEW, or --shadow and the topic that a shadow wrote"
            )
        else:
            wanted = _task(old, new)
            ranged = from_topic, from_offset, to_offset, last
            labelled = None if examples is None else read_examples(examples, wanted, separator, notice)
            digest = examples_digest(labelled) if labelled else ""
            source = _source(settings, wanted, (examples, labelled), messages, ranged, separator)
            found = _of_bundles(
                settings, old, new, source, progress, changes, texts=show_text, in_turn=one_at_a_time
            )
            found = msgspec.structs.replace(found, adapted_on_these=_adapted_on(found, digest))
    if fail_if_worse:
        try:
            found = msgspec.structs.replace(found, worse=is_worse(found.counts, margin))
        except ValueError:
            raise SettingsError(
                "--fail-if-worse needs --examples: without labels nobody knows which verdict is right"
            ) from None
    note_pin(settings, found.new)
    print_report(found, show_compared, as_json=as_json)
    if found.worse:
        raise typer.Exit(WORSE)


def _task(old: Path, new: Path) -> Task:
    """The task of both, asked before a model is opened."""
    from mimamori.comparing.screen import require_one_task

    tasks = [read_manifest(folder)[0].task for folder in (old, new)]
    require_one_task(tasks[0].name, tasks[1].name)
    return tasks[0]


def _source(
    settings: Settings,
    task: Task,
    examples: tuple[Path | None, list[LabelledExample] | None],
    messages: Path | None,
    ranged: tuple[str | None, int | None, int | None, int | None],
    separator: Separator | None,
) -> Source:
    """The messages. Raises SettingsError: the options name none, or several."""
    from mimamori.comparing.sources import asked_of, of_examples, of_messages, of_topic
    from worker.registry.awaited import message_reader

    topic, from_offset, to_offset, last = ranged
    file, labelled = examples
    if (file is not None) + (messages is not None) + (topic is not None) != 1:
        raise SettingsError("say where the messages are: one of --examples, --messages and --from-topic")
    if topic is None and (from_offset, to_offset, last) != (None, None, None):
        raise SettingsError("--from-offset, --to-offset and --last are of a topic: give --from-topic too")
    most_chars = settings.max_text_chars
    if file is not None:
        if not labelled:
            raise TaskError(f"{file} holds no examples")
        return of_examples(str(file), labelled, task.name, most_chars)
    if messages is not None:
        return of_messages(messages, separator, notice, task.name, most_chars)
    asked = asked_of(topic or "", from_offset=from_offset, to_offset=to_offset, last=last)
    return of_topic(settings.client_config, asked, task.name, most_chars, message_reader(settings))


def _of_bundles(
    settings: Settings,
    old: Path,
    new: Path,
    source: Source,
    progress: Progress,
    changes: int,
    *,
    texts: bool,
    in_turn: bool,
) -> Comparison:
    from mimamori.comparing.compare import compare, compare_in_turn
    from mimamori.comparing.screen import Screen, new_trust

    run = compare_in_turn if in_turn else compare
    return run(
        lambda: Screen(settings, old, settings.trust),
        lambda: Screen(settings, new, new_trust(settings)),
        source,
        progress,
        listed=changes,
        texts=texts,
    )


def _of_topics(
    settings: Settings,
    labels: str | None,
    shadow: str | None,
    task: str | None,
    progress: Progress,
    changes: int,
) -> Comparison:
    from mimamori.comparing.shadows import compare_shadow
    from worker.registry.label_reading import LabelReader

    names = topic_names(settings.topic_prefix)
    return compare_shadow(
        settings.client_config,
        labels or names[Label],
        shadow or names[ShadowLabel],
        LabelReader.of(settings),
        progress,
        listed=changes,
        task=task,
    )


def _adapted_on(found: Comparison, digest: str) -> list[str]:
    sides = {"OLD": found.old.adapted_on, "NEW": found.new.adapted_on}
    return [name for name, adapted_on in sides.items() if digest and (adapted_on or "").endswith(digest)]
