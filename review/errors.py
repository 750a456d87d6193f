"""The errors of the review desk, in two kinds.

    DeskError            the app cannot start or go on: it prints one line, and exits non-zero
    DecisionRefusedError one decision was not taken; the reviewer is told why
    ├── UnknownCaseError     no such case here                                -> 404
    ├── AlreadyDecidedError  it is decided, or a decision is on its way       -> 409
    ├── InvalidFormError     a field is missing or wrong                      -> 422
    ├── NotConfirmedError    Kafka has not confirmed; the outcome is unknown  -> 503
    └── NotAuditedError      it could not be written to the audit log         -> 503

They are separate from the worker's errors, since the desk never imports the worker. No error message quotes a
text.
"""

from typing import ClassVar


class DeskError(Exception):
    """The desk cannot start or go on. The message says what is wrong and what to do."""


class DecisionRefusedError(Exception):
    """A decision was not taken."""

    status: ClassVar[int]


class UnknownCaseError(DecisionRefusedError):
    """No open case has this id."""

    status = 404


class AlreadyDecidedError(DecisionRefusedError):
    """The case has a decision, or one is on its way."""

    status = 409


class NotConfirmedError(DecisionRefusedError):
    """Kafka did not confirm in time. The case stays locked until the outcome is known."""

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
