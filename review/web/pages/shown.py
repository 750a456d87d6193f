"""What the pages show of a case, in the words of one language. Pure.

CaseView ──► ShownCase   what the workplace and the lists need
         ──► Choice      the answers that a reviewer can give, in the order of their keys
         ──► Fact        names and values: of the case, and of the model's view
"""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from urllib.parse import quote

import msgspec

from review.cases.conversations import BesideText
from review.cases.state import Step
from review.cases.views import CaseView, ModelView
from review.cases.views import Outcome as Decided
from review.web.pages.house import House
from review.web.pages.language import Words
from review.web.pages.message import Block, blocks

SEPARATOR = ":"


class Fact(msgspec.Struct, frozen=True):
    """A name and a value, and perhaps a link that belongs to it."""

    name: str
    value: str
    link: str = ""
    link_words: str = ""


class Choice(msgspec.Struct, frozen=True):
    """An answer. `value` is what the form sends: a finding, and a level where one goes with it."""

    value: str
    name: str
    meaning: str
    tone: str
    severe: bool


class Outcome(msgspec.Struct, frozen=True):
    """What somebody decided. `note` is empty where there is none, or where it is no longer kept here."""

    what: str
    tone: str
    severe: bool
    note: str


class ShownCase(msgspec.Struct, frozen=True):
    """A case for the templates. `lease_left` is in seconds; None where the viewer does not hold the case.

    `lease` is empty unless the viewer may end the claim: they hold the case, or lead.

    `undo_left` is how long they can undo their decision, in seconds; None where they have none to undo.
    """

    id: str
    title: str
    kind: str
    task: str
    mine: bool
    lease: str
    lease_left: int | None
    undo_left: int | None
    has_text: bool
    shortened: bool
    unread_note: str
    state_words: str
    can_claim: bool
    can_reopen: bool
    decided: Outcome | None


class Around(msgspec.Struct, frozen=True):
    """Another message of the conversation: when, and by whom, as compared with the message of the case."""

    when: str
    who: str
    blocks: list[Block]
    shortened: bool


class Shower:
    """Shows cases in one language, with the words of the house. `name` tells the name of a colleague."""

    def __init__(self, t: Words, house: House, name: Callable[[str], str], now: datetime) -> None:
        self._t = t
        self._house = house
        self._name = name
        self._now = now

    def case(self, view: CaseView, *, lead: bool) -> ShownCase:
        """The case itself."""
        t, kind = self._t, self._t.named("kind", view.kind)
        holds = view.mine and view.phase == "claimed"
        return ShownCase(
            id=view.id,
            title=t("case.title", kind=kind, task=self.task(view.task)),
            kind=kind,
            task=self.task(view.task),
            mine=holds,
            lease=view.lease or "",
            lease_left=self.left(view.until) if holds else None,
            undo_left=self.left(view.undo_until) if view.mine and view.phase == "decided" else None,
            has_text=view.has_text,
            shortened=view.text_shortened,
            unread_note=t("text.unread") if view.kind == "unread" and not _whole(view) else "",
            state_words=self.state(view),
            can_claim=view.phase == "waiting",
            can_reopen=lead and view.phase == "settled",
            decided=self.outcome(view, view.decision) if view.decision else None,
        )

    def task(self, name: str) -> str:
        """A task's name."""
        return self._house.task(name, self._t.language)

    def state(self, view: CaseView) -> str:
        """Whom the case waits for, or who has it."""
        match view.phase:
            case "waiting" if view.reader:
                return self._t("case.state.waiting_for", who=self._name(view.reader))
            case "waiting":
                return self._t(f"case.state.waiting{'' if view.stage == 'first' else '_' + view.stage}")
            case "claimed":
                return self._t("case.state.claimed", who=self._name(view.holder or ""))
            case _:
                return self._t(f"case.state.{view.phase}")

    def holder(self, view: CaseView) -> str:
        """Who has the case, or has it reserved; empty where it is free."""
        if view.mine and view.phase == "claimed":
            return self._t("queue.held_by_you")
        who = view.holder if view.phase == "claimed" else view.reader
        return self._t("queue.held_by", who=self._name(who)) if who else ""

    def outcome(self, view: CaseView, decision: Decided) -> Outcome:
        """A decision in words."""
        what = self._t(f"finding.{decision.finding}")
        if decision.severity is not None:
            level = self.level(view.task, decision.severity)
            what = self._t("outcome", finding=what, level=level)
        severe = self._house.is_severe(view.task, decision.severity, view.levels)
        return Outcome(what, _TONES[decision.finding], severe, decision.note or "")

    def choices(self, view: CaseView) -> list[Choice]:
        """The answers, from least to most severe; unsure comes last. A level is an answer of its own."""
        t, house = self._t, self._house
        answers = [self._plain_choice("not_at_risk")]
        for name in view.levels:
            level = house.level(view.task, name, t.language)
            severe = house.is_severe(view.task, name, view.levels)
            what = t("outcome", finding=t("finding.at_risk"), level=level.name)
            answers.append(
                Choice(f"at_risk{SEPARATOR}{name}", what, level.meaning, _TONES["at_risk"], severe)
            )
        if not view.levels:
            answers.append(self._plain_choice("at_risk"))
        return [*answers, self._plain_choice("unsure")]

    def _plain_choice(self, finding: str) -> Choice:
        name, meaning = self._t(f"finding.{finding}"), self._t(f"finding.meaning.{finding}")
        return Choice(finding, name, meaning, _TONES[finding], severe=False)

    def facts(self, view: CaseView) -> Iterator[Fact]:
        """What is known of the case without the model and without its text."""
        t = self._t
        if view.kind == "unread":
            yield Fact(t("case.why"), t("case.unread", reason=t.named("unread", view.unread_because)))
        for why in self.raised(view):
            yield Fact(t("case.why"), why)
        if view.script:
            yield Fact(t("case.script"), t(f"script.{view.script}"))
        if view.sent_at:
            yield Fact(t("case.sent"), self.ago(view.sent_at))
        yield Fact(t("case.opened"), self.ago(view.opened_at))
        yield Fact(t("case.message"), view.message_id)
        if view.author_id:
            yield Fact(t("case.author"), view.author_id)
        if view.conversation_id:
            yield Fact(t("case.conversation"), view.conversation_id)

    def beside(self, view: CaseView, other: BesideText) -> Around:
        """Another message of the conversation."""
        apart = abs(((view.sent_at or view.opened_at) - other.at).total_seconds())
        when = self._t(f"context.{'before' if other.before else 'after'}", ago=self._t.lasting(apart))
        who = "" if other.same_author is None else "same" if other.same_author else "other"
        cut = blocks(other.text, [], shortened=other.shortened)
        return Around(when, who and self._t(f"context.author_{who}"), cut, other.shortened)

    def raised(self, view: CaseView) -> list[str]:
        """Why the case comes before others of its level."""
        t, counts = self._t, view.repeats
        known = [why for why in view.raised if t.has(f"raised.{why}")]
        return [t(f"raised.{why}", n=counts.get(why, 0)) for why in known]

    def model(self, view: CaseView, model: ModelView) -> Iterator[Fact]:
        """The model's view."""
        t = self._t
        yield Fact(t("model.kind"), t.named("kind", model.kind))
        if model.verdict is None or model.risk is None:
            return
        yield Fact(t("model.verdict"), t.named("verdict", model.verdict))
        yield Fact(t("model.risk"), f"{model.risk:.2f}")
        severity = t("model.none")
        if model.severity is not None:
            share = model.severity.scores.get(model.severity.level, 0.0)
            name = self.level(view.task, model.severity.level)
            severity = t("model.level", level=name, n=round(100 * share))
        yield Fact(t("model.severity"), severity)
        if model.reasons:
            separator = "、" if t.language == "ja" else ", "
            yield Fact(t("model.reasons"), separator.join(t.named("reason", each) for each in model.reasons))

    def history(self, steps: list[Step]) -> list[str]:
        """What happened to the case, newest first."""
        t, shown = self._t, []
        for step in reversed(steps):
            action = "handed" if step.action == "released" and step.reader else step.action
            who = t("history.desk") if step.actor == "desk" else self._name(step.actor)
            ago = t.lasting((self._now - step.at).total_seconds())
            shown.append(t("history.step", ago=ago, what=t.named("action", action), who=who))
        return shown

    def level(self, task: str, name: str) -> str:
        """A level's name."""
        return self._house.level(task, name, self._t.language).name

    def lane(self, task: str, kind: str, level: str | None) -> str:
        """What waits or was decided together: a task's level, or a kind of case where there is no level."""
        of = self._t.named("kind", kind) if level is None else self.level(task, level)
        return f"{self.task(task)}: {of}"

    def ago(self, at: datetime) -> str:
        """How long ago that was."""
        return self._t("case.ago", ago=self.lasting_since(at))

    def lasting_since(self, at: datetime | float) -> str:
        """The time since then."""
        return self._t.lasting(-self._seconds_to(at))

    def left(self, until: datetime | float | None) -> int:
        """Seconds until then, negative where it is past."""
        return 0 if until is None else int(self._seconds_to(until))

    def _seconds_to(self, at: datetime | float) -> float:
        # A deadline is in Unix seconds: by a clock that is wrong it may lie in a year that no datetime holds.
        if isinstance(at, datetime):
            return ((at if at.tzinfo else at.replace(tzinfo=UTC)) - self._now).total_seconds()
        return at - self._now.timestamp()


_TONES = {"not_at_risk": "calm", "at_risk": "risk", "unsure": "unsure"}


def _whole(view: CaseView) -> bool:
    # What the model failed on is a whole message; what could not be read may be a part of one.
    return view.unread_because == "unscreenable"


def address(case_id: str) -> str:
    """The path of a case's page, whatever a producer put into the id."""
    return f"/case/{quote(case_id, safe=':')}"


def clock(seconds: int) -> str:
    """A countdown as the page's script writes it: 4:32, 3:12:05, and with a minus sign before 0:07."""
    hours, rest = divmod(abs(seconds), 3600)
    shown = f"{hours}:{rest // 60:02}:{rest % 60:02}" if hours else f"{rest // 60}:{rest % 60:02}"
    return ("−" if seconds < 0 else "") + shown  # noqa: RUF001 - a minus sign, and no hyphen
