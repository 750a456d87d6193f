"""Where commands find unlabelled messages and people's decisions: files, or topics. Texts stay in memory."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Final, TypeVar

import typer

from engine.errors import SettingsError, TaskError
from engine.task import Task
from export.examples import ExampleRows, read_examples
from export.rows import Separator
from mimamori.cli.reading import notice
from mimamori.replay import read_messages
from schemas.codec import CodecError, decode
from schemas.events import Message, ReviewCase, ReviewDecision
from worker.errors import RecordError
from worker.registry.framing import schema_id_of

_DISTIL: Final = "A faster reading, from unlabelled traffic"
TrafficOption = Annotated[
    str | None,
    typer.Option(
        help="200 or more unlabelled messages: a JSONL, CSV, TSV or Parquet file, or topic:NAME.",
        rich_help_panel=_DISTIL,
    ),
]
KeepOption = Annotated[
    float | None,
    typer.Option(
        help="Share of the teacher's AUC to keep; the shallowest depth that does is taken. Default: 0.98.",
        rich_help_panel=_DISTIL,
    ),
]
DepthOption = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="How many layers to read, instead of --keep. Without --traffic: instead of the best layer, so "
        "that bundles of several tasks have the same graph, and a worker holds it once.",
        rich_help_panel=_DISTIL,
    ),
]
TeacherOption = Annotated[
    Path | None,
    typer.Option(
        help="An adapted bundle, of any model, that teaches this one. Default: this bundle's own head.",
        rich_help_panel=_DISTIL,
    ),
]
MessagesOption = Annotated[
    int,
    typer.Option(min=200, help="Learn from at most so many of the traffic.", rich_help_panel=_DISTIL),
]
DecisionsOption = Annotated[
    tuple[str, str] | None,
    typer.Option(
        "--from-decisions",
        metavar="CASES DECISIONS",
        help="Examples from review cases and what people decided: two JSONL files of events, or topic:NAME.",
    ),
]
CascadeOption = Annotated[
    bool | None,
    typer.Option(
        "--cascade/--no-cascade",
        help="Stop reading a message at a shallower layer where that can clear it already. Default: where "
        "that is expected to be faster on the traffic, at the same bound on misses.",
        rich_help_panel=_DISTIL,
    ),
]
PlotOption = Annotated[
    Path | None,
    typer.Option(
        help="Draw the curve to this .svg, .png or .pdf (needs the plot extra).", rich_help_panel=_DISTIL
    ),
]

TOPIC: Final = "topic:"
_SHOWN_EVERY: Final = 500
_MOST_EVENTS: Final = 100_000

E = TypeVar("E", ReviewCase, ReviewDecision)


def read_traffic(
    source: str, separator: Separator | None, progress: Callable[[str, int, int], None], most: int
) -> Iterator[str]:
    """Yield the texts of a file of messages, or of the last `most` messages of "topic:NAME".

    Raises TaskError: the file is not there, or a row of it is no message. BrokerError: as `latest` does.
    """
    if source.startswith(TOPIC):
        texts = _of_topic(source.removeprefix(TOPIC), most)
    else:
        texts = (message.text for message in read_messages(Path(source), separator, notice))
    for count, text in enumerate(texts):
        if count % _SHOWN_EVERY == 0:
            progress("gather the traffic", count, 0)
        yield text


def require_source(source: str, option: str = "--traffic") -> None:
    """Raise TaskError where `source` is neither a file nor a topic."""
    if not source.startswith(TOPIC) and not Path(source).is_file():
        raise TaskError(f"{option} {source}: no such file (a topic is given as topic:NAME)")


def labelled(
    examples: Path | None,
    decisions: tuple[str, str] | None,
    task: Task,
    separator: Separator | None,
    *,
    representative: float | None = None,
) -> ExampleRows:
    """The examples of a file, of people's decisions, or of both; what was left out is printed.

    `representative` is as in `export.decided`, and then decisions stand alone: a file is no random sample.

    Raises SettingsError: neither is given, or both are where one is needed. TaskError as reading them does.
    """
    if examples is None and decisions is None:
        raise SettingsError("give labelled examples: --examples FILE, or --from-decisions CASES DECISIONS")
    if examples is not None and decisions is not None and representative is not None:
        raise SettingsError("give --examples or --from-decisions: a bound is stated on one of them")
    of_file = None if examples is None else read_examples(examples, task, separator, notice)
    if decisions is None and of_file is not None:
        return of_file
    for source in decisions or ():
        require_source(source, "--from-decisions")
    decided = _decided(decisions or ("", ""), task, representative)
    if of_file is None:
        return decided
    places = [f"{of_file.path} {place}" for place in of_file.places] + list(decided.places)
    return ExampleRows(Path("labelled"), [*of_file, *decided], places)


def _decided(sources: tuple[str, str], task: Task, representative: float | None) -> ExampleRows:
    from export.decided import examples_of_decisions

    made = examples_of_decisions(*read_decisions(sources), task, representative=representative)
    left = "".join(f"; left out: {count} {why}" for why, count in made.left_out.items())
    ill = sum(example.at_risk for example in made.examples)
    notice(f"{len(made.examples)} examples from decisions, {ill} at risk{left}")
    for said in made.said:
        notice(said)
    return made.examples


def read_decisions(sources: tuple[str, str]) -> tuple[list[ReviewCase], list[ReviewDecision]]:
    """Read review cases and people's decisions, each from a JSONL file of events or from "topic:NAME".

    Raises TaskError: a line of a file is no such event. BrokerError: as `latest` does.
    """
    cases, decisions = sources
    return list(_events(cases, ReviewCase)), list(_events(decisions, ReviewDecision))


def _of_topic(topic: str, most: int) -> Iterator[str]:
    from worker.kafka.latest import latest
    from worker.registry.awaited import message_reader
    from worker.settings_source import load_settings

    settings = load_settings()
    read_framed = message_reader(settings)
    unread = without_registry = 0
    for record in latest(settings.client_config, topic, most):
        value = record.value or b""
        try:
            if schema_id_of(value) is None:
                yield decode(Message, value).text
            elif read_framed is not None:
                yield read_framed(value).text
            else:
                without_registry += 1
        except (CodecError, RecordError):
            unread += 1
    if unread:
        notice(f"{unread} records of {topic} are no messages and were left out")
    if without_registry:
        notice(
            f"{without_registry} records of {topic} are framed for a schema registry and were left out: set "
            "MIMAMORI_SCHEMA_REGISTRY_URL to read them"
        )


def _events(source: str, kind: type[E]) -> Iterator[E]:
    if source.startswith(TOPIC):
        from worker.kafka.latest import latest
        from worker.settings_source import load_settings

        found = latest(load_settings().client_config, source.removeprefix(TOPIC), _MOST_EVENTS)
        lines = [record.value or b"" for record in found]  # one without a value says that a case is erased
    else:
        lines = Path(source).read_bytes().splitlines()
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            yield decode(kind, line)
        except CodecError as error:
            name = "review case" if kind is ReviewCase else "review decision"
            raise TaskError(f"{source}, line {number}: is no {name} ({error})") from None
