"""The policy: calibrated scores in; verdict, reasons and priority out. Pure.

    risk      0 ········ lower ·········· upper ········ 1
    verdict     clear      │  uncertain     │   at_risk

Severity never changes the verdict: it only orders the review queue. A message is never clear if it was not
read completely, is disguised beyond reading, has no finite score, or is in a language that the task does not
cover.
"""

import hashlib
import math
from collections.abc import Sequence

import msgspec

from engine.scores import Scores
from schemas.events import Thresholds
from schemas.reasons import Reason
from schemas.vocabulary import Verdict

TOP_PRIORITY = 100.0


class Ruling(msgspec.Struct, frozen=True, gc=False):
    """What the policy decides about one message.

    `risk` is in [0, 1]. `priority` is in [0, 100], most urgent highest, and 0 where nobody needs to look.
    """

    verdict: Verdict
    risk: float
    reasons: list[Reason]
    priority: float
    quality_sample: bool

    @property
    def needs_review(self) -> bool:
        """Whether a person must look: this holds for every escalation and every quality sample."""
        return self.verdict != "clear" or self.quality_sample


class Policy(msgspec.Struct, frozen=True):
    """The thresholds and shares in force.

    `languages` are as `primary_language` gives them; empty means any.
    """

    thresholds: Thresholds
    quality_sample_share: float
    languages: frozenset[str] = frozenset()

    def verdict(self, risk: float) -> Verdict:
        """The verdict of a risk score alone. A score equal to a threshold counts to the riskier side."""
        return verdict(risk, self.thresholds)

    def needs_severity(self, scores: Scores, language: str | None) -> bool:
        """Whether the severity stage must run, which is so for every message that will not be clear."""
        return self.verdict(scores.risk) != "clear" or bool(self._doubts(scores, language))

    def rule(self, scores: Scores, language: str | None, record_id: str) -> Ruling:
        """Rule on one message. A redelivered `record_id` gets the same draw for quality sampling."""
        if not math.isfinite(scores.risk):
            return Ruling("uncertain", 1.0, ["unscorable"], TOP_PRIORITY, quality_sample=False)
        verdict = self.verdict(scores.risk)
        reasons: list[Reason] = [_REASONS[verdict]]
        doubts = self._doubts(scores, language)
        if doubts and verdict == "clear":
            verdict = "uncertain"
        reasons += doubts
        if verdict == "clear":  # most messages: their priority is not computed
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
        """Whether the task does not cover the message's language.

        A declared language is believed, unless the script of the text is one that the task does not cover.
        """
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
    """Whether nothing would be escalated: `lower` is 1 or not a number, or above the `highest` known score.

    `highest` is None before a bundle is adapted, when no score is known.
    """
    lower = thresholds.lower
    return not lower < 1 or (highest is not None and not lower <= highest)


def priority(scores: Scores) -> float:
    """The priority in the review queue, in [0, 100]: half risk, half expected severity.

    Expected severity is the mean level (0 for the least, 1 for the most severe) under the severity stage's
    probabilities: a message that may well be an attempt comes before one that is surely an indicator.
    """
    expected = expected_severity(scores.severity) if scores.severity else 0.0
    if not math.isfinite(expected):  # not a number: goes to the front of the queue, not to the end
        expected = 1.0
    return round(TOP_PRIORITY * (0.5 * scores.risk + 0.5 * expected), 3)


def expected_severity(probabilities: Sequence[float]) -> float:
    """The mean level under `probabilities` (least severe first), scaled to [0, 1]."""
    top = len(probabilities) - 1
    return sum(level * share for level, share in enumerate(probabilities)) / top


def primary_language(tag: str) -> str:
    """The language of a tag without script and region: `en` for `en-GB`, `EN` and `en_US`."""
    return tag.replace("_", "-").split("-")[0].lower()


def _draw(record_id: str) -> float:
    """A pseudo-random number in [0, 1) that is the same at every delivery of the record."""
    return int.from_bytes(hashlib.blake2b(record_id.encode(), digest_size=8).digest(), "big") / 2**64
