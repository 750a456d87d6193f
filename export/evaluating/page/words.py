"""What the figures say, in sentences: conclusions where the examples allow them, and where they do not."""

from typing import Final

from export.evaluating.report import Report
from export.evaluating.slices import FEWEST
from export.evaluating.workload import Workload

_PER_CENT: Final = "\N{NO-BREAK SPACE}%"


def warnings(report: Report) -> list[str]:
    """What a reader must know before any figure."""
    said = list(report.notes)
    if report.seen_at_adapt:
        said.insert(
            0, "The bundle was adapted on these very examples: every figure flatters. Evaluate on others."
        )
    negatives = report.examples - report.positives
    for count, what in ((report.positives, "at risk"), (negatives, "not at risk")):
        if not count:
            said.append(f"No message is {what}: what needs both classes is missing here.")
        elif count < FEWEST:
            said.append(f"{count} messages are {what}: too few to conclude much. Look at the intervals.")
    if report.unanswered:
        said.append(
            f"{report.unanswered} messages got no score. They come to a person, and are clear in no figure."
        )
    return said


def sentences(report: Report) -> list[str]:
    """The report in a few sentences."""
    said = [_misses(report)]
    if report.workload:
        said.append(_load(report.workload[-1]))
    worse = [each for each in report.slices if each.conclusion == "found less often"]
    judged = [each for each in report.slices if each.conclusion != "too few to conclude"]
    if worse:
        said.append(
            "Found less often than others: "
            + ", ".join(
                f"{each.value} ({each.by}, {each.missed} of {each.positives} missed)" for each in worse
            )
            + "."
        )
    elif judged:
        said.append(
            f"In {len(judged)} slices large enough to judge, nobody was found less often than others."
        )
    if report.severity is not None:
        said.append(_highest(report))
    return said


def _misses(report: Report) -> str:
    interval = report.miss_rate_interval
    if report.miss_rate is None or interval is None:
        return "No message of the file is at risk, so that nothing can be said about misses."
    missed = report.confusion[1][0]
    said = (
        f"Of {report.positives} messages at risk, {missed} {'was' if missed == 1 else 'were'} cleared: "
        f"{100 * report.miss_rate:.1f}{_PER_CENT} (between {100 * interval.low:.1f} and "
        f"{100 * interval.high:.1f}{_PER_CENT}). "
        f"Tolerated are {100 * report.tolerated_miss_rate:g}{_PER_CENT}."
    )
    if interval.high <= report.tolerated_miss_rate:
        return f"{said} The file shows that it is kept, for messages like these."
    if interval.low > report.tolerated_miss_rate:
        return f"{said} The file shows that it is exceeded."
    return f"{said} The file cannot show whether that is kept: more examples at risk would."


def _load(load: Workload) -> str:
    said = (
        f"Where {100 * load.prevalence:.3g}{_PER_CENT} of all messages are at risk, people see "
        f"{1000 * load.seen:.0f} of 1,000, and {load.missed_per_million:,.0f} of a million are missed."
    )
    return f"{said} One in {1 / load.right:.1f} cases is a message at risk." if load.right else said


def _highest(report: Report) -> str:
    levels = [] if report.severity is None else [each for each in report.severity.levels if each.examples]
    highest = levels[-1]
    return (
        f"Of {highest.examples} messages of the highest level in the file ({highest.name}), "
        f"{highest.missed} {'was' if highest.missed == 1 else 'were'} cleared."
    )
