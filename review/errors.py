"""The errors of the review desk, in two kinds.

    DeskError            the app cannot start or go on: it prints one line, and exits non-zero
    └── KafkaGoneError       Kafka does not answer: a desk that runs waits for it
    DecisionRefusedError one step was not taken; whoever asked is told why
    ├── UnknownCaseError     no such case here                                     -> 404
    ├── NotAllowedError      this person may not do that, on this case or at all   -> 403
    ├── HeldByAnotherError   somebody else has the case                            -> 409
    ├── StaleLeaseError      the claim that the step belongs to has ended          -> 409
    ├── ConflictError        the case is not in the state that this step needs     -> 409
    ├── TooManyClaimsError   this person holds as many cases as they may           -> 409
    ├── ClosedCaseError      the case is decided                                   -> 410
    ├── InvalidFormError     a field is missing or wrong                           -> 422
    ├── NotConfirmedError    Kafka has not confirmed; the outcome is unknown       -> 503
    └── NotAuditedError      it could not be written to the audit log              -> 503

They are separate from the worker's errors, since the desk never imports the worker. No error message quotes a
text.
"""

from typing import ClassVar


class DeskError(Exception):
    """The desk cannot start or go on. The message says what is wrong and what to do."""


class KafkaGoneError(DeskError):
    """Kafka does not answer. At start that is the end; a desk that runs waits for it."""


class DecisionRefusedError(Exception):
    """A step was not taken."""

    status: ClassVar[int]


class UnknownCaseError(DecisionRefusedError):
    """No case has this id here."""

    status = 404


class NotAllowedError(DecisionRefusedError):
    """This person may not do that: they lack the role, or have judged this case already."""

    status = 403


class HeldByAnotherError(DecisionRefusedError):
    """Somebody else has claimed the case, or has it reserved."""

    status = 409


class StaleLeaseError(DecisionRefusedError):
    """The claim that this step belongs to has ended."""

    status = 409


class ConflictError(DecisionRefusedError):
    """The case is not in the state that this step needs, or somebody acted at the same moment."""

    status = 409


class TooManyClaimsError(DecisionRefusedError):
    """This person holds as many cases as one person may."""

    status = 409


class ClosedCaseError(DecisionRefusedError):
    """The case is decided, and the decision stands."""

    status = 410


class NotConfirmedError(DecisionRefusedError):
    """Kafka did not confirm in time. Whether the step counts is not known: look at the case again."""

    status = 503


class NotAuditedError(DecisionRefusedError):
    """It could not be written to the audit log, so it was not done."""

    status = 503


class InvalidFormError(DecisionRefusedError):
    """A field is missing or wrong. `fields` maps each field to what is wrong with it."""

    status = 422

    def __init__(self, fields: dict[str, str]) -> None:
        super().__init__("some fields are wrong: " + ", ".join(sorted(fields)))
        self.fields = fields


def missing_ledger(topic: str) -> str:
    """What both the desk's watch and the teller of webhooks say where the webhooks' topic is not there."""
    return f"no topic {topic}: no webhook is told until you create it with `mimamori topics apply`"
