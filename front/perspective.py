"""`POST /v1alpha1/comments:analyze` in the shape of Perspective's API.

    requestedAttributes  names of the task: its own in capitals, and those that the settings map to it. Any
                         other is refused as unknown, as Perspective does: no score is made up.
    summaryScore         the risk, a probability
    spanScores           one span, the whole comment; with `spanAnnotations`, the extension field says which
                         parts raised the risk
    mimamori             what the worker's label would say (`finding.py`), with spans in UTF-16 units
    languages            a comment in a language that the task does not cover gets Perspective's error for it,
                         and no score that somebody could compare with a threshold

A verdict that the score did not decide has no score either, but an error: a comment that was not read to its
end (COMMENT_TOO_LONG), that is disguised, or that the model fails on.

Nothing is stored, whatever `doNotStore` says. `context`, `sessionId` and `communityId` are not read.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Annotated, Any, Final

import msgspec

from engine.policy import primary_language
from front.dialect import Asked
from front.errors import Kind, RefusedError, invalid
from front.finding import Finding
from front.metrics import Api
from schemas.reasons import Reason

_ERROR_TYPE: Final = "type.googleapis.com/google.commentanalyzer.v1alpha1.Error"
_STATUSES: Final = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    404: "NOT_FOUND",
    408: "DEADLINE_EXCEEDED",
    413: "INVALID_ARGUMENT",
    415: "INVALID_ARGUMENT",
    500: "INTERNAL",
    503: "UNAVAILABLE",
}
_ERROR_TYPES: Final[dict[Kind, str]] = {
    "empty": "COMMENT_EMPTY",
    "too_large": "COMMENT_TOO_LONG",
    "unsupported_language": "LANGUAGE_NOT_SUPPORTED_BY_ATTRIBUTE",
    "invalid": "INVALID_REQUEST",
    "unsupported": "INVALID_REQUEST",
    "unknown_category": "INVALID_REQUEST",
}


# The verdict follows from the score alone. With any other reason it does not, whatever reasons may come.
_BY_SCORE: Final[frozenset[Reason]] = frozenset(
    ("below_lower_threshold", "between_thresholds", "above_upper_threshold", "quality_sample")
)
_UNDECIDED: Final[Mapping[Reason, tuple[Kind, str]]] = {
    "truncated": (
        "too_large",
        "Comment text too long: it was not read to its end, and a person must look at it",
    ),
    "obfuscated": (
        "undecided",
        "The comment is disguised so that no model can read it, and a person must look at it",
    ),
}


class Comment(msgspec.Struct, frozen=True):
    """A text. Perspective itself takes plain text alone."""

    text: str = ""
    type: str = "PLAIN_TEXT"


class AttributeParameters(msgspec.Struct, frozen=True, rename="camel"):
    """What is asked about one attribute. A score below the threshold is left out of the answer."""

    score_type: str = "PROBABILITY"
    score_threshold: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.0


class AnalyzeRequest(msgspec.Struct, frozen=True, rename="camel"):
    """What is read of a request; further fields are ignored."""

    comment: Comment
    requested_attributes: dict[str, AttributeParameters] = {}
    languages: list[str] = []
    span_annotations: bool = False
    client_token: str | None = None
    drop_unsupported_attributes: bool = False


class UnsupportedLanguageError(RefusedError):
    """The task does not cover the comment's language. It has no score, and a person must look at it."""

    def __init__(self, attribute: str, declared: list[str], detected: list[str]) -> None:
        named = ", ".join(declared or detected)
        super().__init__(
            400, "unsupported_language", f"Attribute {attribute} does not support request languages: {named}"
        )
        self.facts = {
            "languageNotSupportedByAttributeError": {
                "detectedLanguages": detected,
                "requestedLanguages": declared,
                "attribute": attribute,
            }
        }


class PerspectiveDialect:
    """One task's comment analyser."""

    api: Api = "perspective"

    def __init__(self, attributes: Sequence[str], languages: Collection[str]) -> None:
        """`attributes` all have the task's score; `languages` are those that it covers, none means any."""
        self._attributes = tuple(attributes)
        self._languages = languages

    def read(self, body: bytes) -> Asked[AnalyzeRequest]:
        """See Dialect."""
        try:
            request = msgspec.json.decode(body, type=AnalyzeRequest)
        except msgspec.ValidationError as error:  # it names types and places, never values
            raise invalid(f"Invalid JSON payload received: {error}") from None
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise invalid(
                "Invalid JSON payload received: the body is not JSON in UTF-8, or nested too deeply"
            ) from None
        if not request.requested_attributes:
            raise invalid("Missing requested_attributes", "requested_attributes")
        for name, asked in request.requested_attributes.items():
            self._require(name, asked)
        if request.comment.type not in {"PLAIN_TEXT", "TEXT_TYPE_UNSPECIFIED"}:
            raise RefusedError(400, "unsupported", "Currently, only 'PLAIN_TEXT' comments are supported")
        return Asked([request.comment.text], self._declared(request.languages), request, "comment.text")

    def answer(self, asked: Asked[AnalyzeRequest], findings: Sequence[Finding]) -> bytes:
        """See Dialect."""
        request, text, (finding,) = asked.request, asked.texts[0], findings
        detected = [finding.language] if finding.language else []
        unsupported = "unsupported_language" in finding.reasons
        if unsupported and not request.drop_unsupported_attributes:
            raise UnsupportedLanguageError(
                next(iter(request.requested_attributes)), request.languages, detected
            )
        if not unsupported:
            _require_decided(finding)
        units = _Units(text)
        score = {"value": finding.risk, "type": "PROBABILITY"}
        scores = {
            "spanScores": [{"begin": 0, "end": units.of(len(text)), "score": score}],
            "summaryScore": score,
        }
        extension: dict[str, Any] = msgspec.structs.asdict(finding)
        spans = finding.highlights if request.span_annotations else []
        extension["highlights"] = [
            {"begin": units.of(one.start), "end": units.of(one.end), "weight": one.weight} for one in spans
        ]
        answer: dict[str, Any] = {
            "attributeScores": {
                name: scores
                for name, wanted in request.requested_attributes.items()
                if finding.risk >= wanted.score_threshold and not unsupported
            },
            "languages": request.languages,
            "mimamori": extension,
        }
        if request.client_token is not None:
            answer["clientToken"] = request.client_token
        return msgspec.json.encode(answer)

    def refusal(self, error: RefusedError) -> bytes:
        """See Dialect."""
        stated: dict[str, Any] = {
            "code": error.status,
            "message": error.message,
            "status": _STATUSES.get(error.status, "UNKNOWN"),
        }
        message = "Comment must be non-empty." if error.kind == "empty" else error.message
        kind = _ERROR_TYPES.get(error.kind)
        if error.param == "requested_attributes":
            kind = "NO_REQUESTED_ATTRIBUTES"
        if kind is not None:
            facts = error.facts if isinstance(error, UnsupportedLanguageError) else {}
            stated |= {"message": message, "details": [{"@type": _ERROR_TYPE, "errorType": kind, **facts}]}
        return msgspec.json.encode({"error": stated})

    def _declared(self, languages: list[str]) -> str | None:
        """The language to rule by: of several, one that the task does not cover, since all must be."""
        foreign = [
            tag for tag in languages if self._languages and primary_language(tag) not in self._languages
        ]
        return next(iter(foreign or languages), None)

    def _require(self, name: str, asked: AttributeParameters) -> None:
        if name not in self._attributes:
            # The caller's own word, but not at any length: an error ends up in logs.
            raise RefusedError(400, "unknown_category", f"Unknown requested attribute: {name[:100]}")
        if asked.score_type not in {"PROBABILITY", "SCORE_TYPE_UNSPECIFIED"}:
            raise RefusedError(
                400,
                "unsupported",
                f"Requested score type {asked.score_type[:100]} is not supported by attribute {name}",
            )


def _require_decided(finding: Finding) -> None:
    """Raise RefusedError: a low score would be taken for a verdict, and the verdict is that nobody knows.

    A score above the upper threshold is given all the same: it gets the comment to people.
    """
    doubts = [reason for reason in finding.reasons if reason not in _BY_SCORE]
    if not doubts or finding.verdict == "at_risk":
        return
    unscored: tuple[Kind, str] = ("undecided", "The comment has no score, and a person must look at it")
    raise RefusedError(400, *_UNDECIDED.get(doubts[0], unscored))


class _Units:
    """Places of a text in UTF-16 units, as Perspective counts; Python counts code points."""

    def __init__(self, text: str) -> None:
        self._wide = [at for at, character in enumerate(text) if ord(character) > 0xFFFF]  # noqa: PLR2004

    def of(self, place: int) -> int:
        return place + sum(at < place for at in self._wide)


def attribute_name(task: str) -> str:
    """A task's name as an attribute: SUICIDE_RISK for suicide-risk."""
    return task.upper().replace("-", "_")
