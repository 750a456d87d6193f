"""Makes the runbook: a page for whoever is woken, with an entry for each alert."""

import re
from collections import Counter
from collections.abc import Iterator
from typing import Final

from ops.plan import Alert, Alerts, Objective

SEVERITIES: Final = {
    "page": "**Wakes somebody.**",
    "ticket": "For the next working day.",
}
TEAMS: Final = {
    "operations": "whoever runs the workers",
    "safety": "whoever answers for the people that the cases are about",
}

INTRODUCTION: Final = """<!-- Made by `python -m ops.generate` from ops/alerts.yaml: edit that file. -->

# Alerts: what to do for each

Every alert of [`helm/files/rules.yaml`](../../helm/files/rules.yaml) has an entry here, under its name.
[Watch the workers](watch-the-workers.md) says how to install the rules and the dashboard. `RELEASE` is the
name of your Helm release, and `-mimamori` where that does not contain it; `kubectl` needs your namespace.

## Who is woken, and when

Each alert has two labels for Alertmanager's routes. `severity` says when:

- `page` (PAGES of them) wakes somebody: a message may go unscreened, or a case unseen, while nobody acts.
  Nothing else wakes anybody.
- `ticket` (TICKETS) is for the next working day: messages get their labels, and cases are kept and in time.

`team` says whom: TEAMS.
Somebody of `safety` has to be reachable whenever cases have deadlines: operations cannot decide a case.

## What is promised

| promise | share | error budget |
|---|---|---|
OBJECTIVES

The alerts on them fire by how fast the error budget of 30 days burns, over a long window and a short one, so
that a blip wakes nobody and an alert ends soon after its cause. They need at least ten bad records: at night,
one of three wakes nobody. In the chart, `prometheusRule.labelsWithinSeconds` changes the SECONDS seconds.

"""


def runbook(alerts: Alerts) -> str:
    """The page."""
    severities = Counter(alert.severity for alert in alerts.every())
    filled = {
        "PAGES": str(severities["page"]),
        "TICKETS": str(severities["ticket"]),
        "TEAMS": "; ".join(f"`{team}`, {who}" for team, who in TEAMS.items()),
        "OBJECTIVES": "\n".join(_objective(one) for one in alerts.objectives),
        "SECONDS": f"{alerts.within_seconds:g}",
        "WITHIN": f"{alerts.within_seconds:g}",
    }
    introduction = INTRODUCTION
    for word, text in filled.items():
        introduction = re.sub(rf"\b{word}\b", text, introduction)
    return introduction + "\n".join(_groups(alerts))


def _objective(one: Objective) -> str:
    return f"| {one.title} | {one.share:.1%} | one in {round(1 / one.budget):,} |"


def _groups(alerts: Alerts) -> Iterator[str]:
    for group in alerts.groups:
        yield f"## {group.title}"
        yield ""
        yield group.about
        yield ""
        for alert in group.alerts:
            yield from _entry(alert)


def _entry(alert: Alert) -> Iterator[str]:
    yield f"### {alert.name}"
    yield ""
    yield f"{SEVERITIES[alert.severity]} For {alert.team}. {alert.summary}"
    yield ""
    yield f"**What you see.** {alert.see}"
    yield ""
    yield f"**Why it matters.** {alert.people}"
    yield ""
    yield "**What to look at.**"
    yield ""
    yield from (f"- {step}" for step in alert.look)
    if alert.logs:
        yield f"- In the log: {', '.join(f'`{event}`' for event in alert.logs)}."
    yield ""
    yield "**What to do.**"
    yield ""
    yield from (f"- {step}" for step in alert.do)
    yield ""
