"""The policy: calibrated scores in; verdict, reasons and priority out. Pure.

    risk      0 ········ lower ·········· upper ········ 1
    verdict     clear      │  uncertain     │   at_risk

Severity never enters the verdict: it only orders the review queue. What was not wholly read, is disguised
beyond reading, has no finite score, or is in a language the task does not cover, is never clear.
"""

import hashlib
import math
from collections.abc import Sequence

import msgspec

from engine.scores import Scores
from schemas.events import Thresholds
from schemas.vocabulary import Reason, Verdict

TOP_PRIORITY = 100.0


class Ruling(msgspec.Struct, frozen=True, gc=False):
    """What the policy says of one message.

    `risk` in [0, 1]; `priority` in [0, 100], urgent first, 0 where nobody needs to look.
    """

    verdict: Verdict
    risk: float
    reasons: list[Reason]
    priority: float
    quality_sample: bool

    @property
    def needs_review(self) -> bool:
        """Whether a person must look: every escalation, and the quality samples."""
        return self.verdict != "clear" or self.quality_sample


class Policy(msgspec.Struct, frozen=True):
    """The thresholds and shares in force. `languages`: as `primary_language` gives them; empty means any."""

    thresholds: Thresholds
    quality_sample_share: float
    languages: frozenset[str] = frozenset()

    def verdict(self, risk: float) -> Verdict:
        """The verdict of a risk score alone. A threshold's own value counts to the riskier side."""
        return verdict(risk, self.thresholds)

    def needs_severity(self, scores: Scores, language: str | None) -> bool:
        """Whether the severity stage must run: for every message that will not be clear."""
        return self.verdict(scores.risk) != "clear" or bool(self._doubts(scores, language))

    def rule(self, scores: Scores, language: str | None, record_id: str) -> Ruling:
        """Rule on one message. `record_id` makes the draw of quality samples repeatable on redelivery."""
        if not math.isfinite(scores.risk):
            return Ruling("uncertain", 1.0, ["unscorable"], TOP_PRIORITY, quality_sample=False)
        verdict = self.verdict(scores.risk)
        reasons: list[Reason] = [_REASONS[verdict]]
        doubts = self._doubts(scores, language)
        if doubts and verdict == "clear":
            verdict = "uncertain"
        reasons += doubts
        if verdict == "clear":  # most messages: nothing more is worked out for them
            if not self.quality_sample_share or _draw(record_id) >= self.quality_sample_share:
                return Ruling(verdict, scores.risk, reasons, 0.0, quality_sample=False)
            reasons.append("quality_sample")
        return Ruling(verdict, scores.risk, reasons, priority(scores), quality_sample=verdict == "clear")

    def _doubts(self, scores: Scores, language: str | None) -> list[Reason]:
        doubts: list[Reason] = []
        if scores.truncated:
            doubts.append("truncated")
        if scores.obfuscated:
            doubts.append("obfuscated")
        if self._is_unsupported(language, scores.language):
            doubts.append("unsupported_language")
        return doubts

    def _is_unsupported(self, declared: str | None, detected: str | None) -> bool:
        """A declared language is believed, but not against a script that the task's languages do not use."""
        if not self.languages:
            return False
        if declared and primary_language(declared) not in self.languages:
            return True
        return detected is not None and (not declared or "-" in detected)


_REASONS: dict[Verdict, Reason] = {
    "clear": "below_lower_threshold",
    "uncertain": "between_thresholds",
    "at_risk": "above_upper_threshold",
}


def verdict(risk: float, thresholds: Thresholds) -> Verdict:
    """The verdict of a risk score. Not-a-number is at_risk: nothing fails open."""
    if risk < thresholds.lower:
        return "clear"
    if risk < thresholds.upper:
        return "uncertain"
    return "at_risk"


def would_clear_all(thresholds: Thresholds, highest: float | None) -> bool:
    """Whether nothing would be escalated: `lower` is 1, no number, or above the `highest` score known of.

    None where none is known of: before a bundle was adapted on examples.
    """
    lower = thresholds.lower
    return not lower < 1 or (highest is not None and not lower <= highest)


def priority(scores: Scores) -> float:
    """The place in the queue, in [0, 100]: half by risk, half by expected severity.

    Expected severity is the mean level (0 for the least, 1 for the most severe) under the stage's
    probabilities: a message that may well be an attempt goes before one that is surely an indicator.
    """
    expected = expected_severity(scores.severity) if scores.severity else 0.0
    if not math.isfinite(expected):  # a severity that is no number waits in front, not at the end
        expected = 1.0
    return round(TOP_PRIORITY * (0.5 * scores.risk + 0.5 * expected), 3)


def expected_severity(probabilities: Sequence[float]) -> float:
    """The mean level under `probabilities` (least severe first), scaled to [0, 1]."""
    top = len(probabilities) - 1
    return sum(level * share for level, share in enumerate(probabilities)) / top


def primary_language(tag: str) -> str:
    """The language of a tag without script and region: `en` of `en-GB`, `EN` and `en_US`."""
    return tag.replace("_", "-").split("-")[0].lower()


def _draw(record_id: str) -> float:
    """A number in [0, 1) that looks random and is the same at every delivery of the record."""
    return int.from_bytes(hashlib.blake2b(record_id.encode(), digest_size=8).digest(), "big") / 2**64
