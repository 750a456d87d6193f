"""Checks labelled examples against one another, before anything is fitted on them.

    refused   the same words with two labels or two severities; the highest severity on an example that is
              not at risk; a text of invisible characters alone; an example of the test file
    told      repeated texts, which are counted once; texts that are nearly the same; levels nobody has;
              a severity between lowest and highest on an example that is not at risk

"The same words" are the same apart from case, spaces and disguise (`engine.disguise`). What is found names
files and rows, never a text. Whether there are enough examples of both kinds is for whoever fits on them.
"""

import unicodedata
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Final, Literal, NamedTuple

import msgspec
import numpy as np
from sklearn.feature_extraction.text import CountVectorizer

from engine.disguise.variant import vary
from engine.errors import TaskError
from engine.task import Task
from export.examples import ExampleRows, LabelledExample

Kind = Literal[
    "contradiction",
    "duplicate",
    "in_test_file",
    "invisible_text",
    "near_duplicate",
    "no_example_of_level",
    "no_severity",
    "severity_without_risk",
]

_SHOWN: Final = 5
_FLATTER: Final = "and labelled alike: figures out of fold may flatter, as one helps to judge the other"
# Texts count as nearly the same where so much of their runs of four characters is shared.
_ALIKE: Final = 0.8
_RUN: Final = 4
_SHORTEST: Final = 20  # characters; of shorter ones, different words share most runs
_MOST_COMPARED: Final = 2000  # examples; every pair is compared


class Finding(msgspec.Struct, frozen=True):
    """Something about the examples that a person should know. `rows` are the places it is about."""

    kind: Kind
    says: str
    refuses: bool
    rows: tuple[str, ...]


class Checked(NamedTuple):
    """Examples of which each text counts once, and what was found."""

    examples: Sequence[LabelledExample]
    findings: tuple[Finding, ...]


def checked(examples: Sequence[LabelledExample], task: Task, test: Sequence[LabelledExample] = ()) -> Checked:
    """Check `examples`, which must not be in the `test` file, and keep one of each text.

    Of repeated ones the first stays, or the first with a severity.

    Raises TaskError naming the rows: something is refused.
    """
    findings = tuple(find(examples, task, test))
    if refused := [finding.says for finding in findings if finding.refuses]:
        more = f"; and {len(refused) - _SHOWN} more" if len(refused) > _SHOWN else ""
        raise TaskError("; ".join(refused[:_SHOWN]) + more)
    groups = _same([normal(example.text) for example in examples])
    kept = [next((i for i in group if examples[i].severity is not None), group[0]) for group in groups]
    chosen = [examples[index] for index in kept]
    if isinstance(examples, ExampleRows):
        chosen = ExampleRows(examples.path, chosen, [examples.places[index] for index in kept])
    return Checked(chosen, findings)


def find(
    examples: Sequence[LabelledExample], task: Task, test: Sequence[LabelledExample] = ()
) -> Iterator[Finding]:
    """Yield what is to be said of `examples`."""
    words = [normal(example.text) for example in examples]
    places = places_of(examples)
    groups = _same(words)
    yield from _invisible(examples, places)
    yield from _contradictions(examples, groups, places)
    yield from _severities(examples, task, places)
    yield from _shared(words, places, test)
    if repeated := [group for group in groups if len(group) > 1]:
        pairs = [f"{places[again]} repeats {places[group[0]]}" for group in repeated for again in group[1:]]
        rows = tuple(places[index] for group in repeated for index in group)
        what = f"{_some(pairs)}, apart from case, spaces or disguise: each text is counted once"
        yield Finding("duplicate", what, refuses=False, rows=rows)
    yield from _nearly(examples, words, [group[0] for group in groups], places)


def normal(text: str) -> str:
    """The words of a text: as a person reads them where they are disguised, without case and extra spaces."""
    read = vary(text).text or text
    return " ".join(unicodedata.normalize("NFKC", read).casefold().split())


def places_of(examples: Sequence[LabelledExample]) -> list[str]:
    """Where each example stands: "labelled.csv, row 3", or "example 3" where there is no file."""
    if isinstance(examples, ExampleRows) and len(examples.places) == len(examples):
        return [f"{examples.path}, {place}" for place in examples.places]
    return [f"example {number}" for number in range(1, len(examples) + 1)]


def _same(words: Sequence[str]) -> list[list[int]]:
    """The indices of each text, in the order of their first ones."""
    found: dict[str, list[int]] = defaultdict(list)
    for index, said in enumerate(words):
        found[said].append(index)
    return list(found.values())


def _invisible(examples: Sequence[LabelledExample], places: list[str]) -> Iterator[Finding]:
    for example, place in zip(examples, places, strict=True):
        # Control, format and space characters; a text of signs or emoji says something.
        if all(unicodedata.category(character)[0] in "CZ" for character in example.text):
            what = f"{place}: the text is empty, or nothing but invisible characters: leave the row out"
            yield Finding("invisible_text", what, refuses=True, rows=(place,))


def _contradictions(
    examples: Sequence[LabelledExample], groups: list[list[int]], places: list[str]
) -> Iterator[Finding]:
    for group in groups:
        for field, what in (("at_risk", "labels"), ("severity", "severities")):
            first: dict[object, int] = {}
            for index in group:
                given = getattr(examples[index], field)
                if given is not None:
                    first.setdefault(given, index)
            if len(first) > 1:
                rows = tuple(places[index] for index in first.values())
                says = f"{' and '.join(rows)} have the same text and different {what}: keep the right one"
                yield Finding("contradiction", says, refuses=True, rows=rows)
                break


def _severities(examples: Sequence[LabelledExample], task: Task, places: list[str]) -> Iterator[Finding]:
    lowest, *_, highest = task.level_names
    told: list[str] = []
    for example, place in zip(examples, places, strict=True):
        # A low level may well mean that there is no risk, as C-SSRS's lowest does; the highest is a slip.
        if example.at_risk or example.severity in {None, lowest}:
            continue
        if example.severity == highest:
            says = f"{place} is not at risk and has the severity {highest}: correct one of the two"
            yield Finding("severity_without_risk", says, refuses=True, rows=(place,))
        else:
            told.append(place)
    if told:
        says = f"{_some(told)}: not at risk, and with a severity above {lowest}: look whether both are meant"
        yield Finding("severity_without_risk", says, refuses=False, rows=tuple(told))
    given = {example.severity for example in examples}
    if given == {None}:
        says = "no example has a severity: every message will get the same one"
        yield Finding("no_severity", says, refuses=False, rows=())
    elif missing := [level for level in task.level_names if level not in given]:
        says = f"no example has the severity {', '.join(missing)}: such messages will get another level"
        yield Finding("no_example_of_level", says, refuses=False, rows=())


def _shared(words: list[str], places: list[str], test: Sequence[LabelledExample]) -> Iterator[Finding]:
    apart = dict(zip(map(normal, (example.text for example in test)), places_of(test), strict=True))
    found = [(place, apart[said]) for said, place in zip(words, places, strict=True) if said in apart]
    if found:
        pairs = [f"{place} is also {other}" for place, other in found]
        says = f"{_some(pairs)}: a test tells nothing of what was learnt from it; leave them out of one file"
        rows = tuple(place for pair in found for place in pair)
        yield Finding("in_test_file", says, refuses=True, rows=rows)


def _nearly(
    examples: Sequence[LabelledExample], words: list[str], kept: list[int], places: list[str]
) -> Iterator[Finding]:
    """Pairs of different texts that share most of their runs of characters, one finding a kind of pair."""
    long = [index for index in kept if len(words[index]) >= _SHORTEST]
    if not 1 < len(long) <= _MOST_COMPARED:
        return
    runs = CountVectorizer(analyzer="char", ngram_range=(_RUN, _RUN), binary=True, lowercase=False)
    found = runs.fit_transform([words[index] for index in long]).astype(np.int32)
    sizes = np.asarray(found.sum(axis=1)).ravel()
    shared = (found @ found.T).tocoo()
    alike = shared.data >= _ALIKE * (sizes[shared.row] + sizes[shared.col] - shared.data)
    pairs = sorted(
        (long[row], long[column])
        for row, column in zip(shared.row[alike].tolist(), shared.col[alike].tolist(), strict=True)
        if row < column
    )
    for differ, remedy in ((True, "labelled differently: look at them again"), (False, _FLATTER)):
        some = [pair for pair in pairs if (examples[pair[0]].at_risk != examples[pair[1]].at_risk) is differ]
        if some:
            says = [f"{places[one]} and {places[other]}" for one, other in some]
            rows = tuple(places[index] for pair in some for index in pair)
            what = f"{_some(says)} are nearly the same, {remedy}"
            yield Finding("near_duplicate", what, refuses=False, rows=rows)


def _some(said: list[str]) -> str:
    """The first few, and how many more there are."""
    more = f" and {len(said) - _SHOWN} more" if len(said) > _SHOWN else ""
    return ", ".join(said[:_SHOWN]) + more
