"""What a score is a score of: everything that decides its number, as one value.

    ScoreIdentity   model · precision · windowing · floor · normalisation · max_message_tokens

The engine makes it (`engine.load.identity_of`) and reads as it says. Thresholds are fitted on the scores of
one identity, which calibration.json keeps; `require_fitted` refuses them for any other. The key of the score
cache is made of `digest`, and labels carry `name`.

The device is no part of it: in one precision every device is held to the original model by one tolerance
(`engine/proof.py`). Threads and the size of a run are none either: the batch law says that a score does not
depend on what is read beside it.
"""

import hashlib
import math
from pathlib import Path
from typing import Final

import msgspec

from engine.errors import BundleError

MAX_MESSAGE_TOKENS: Final = 4096  # how much of a message is read, unless a setting says otherwise


class Windowing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a message is read: up to `whole` tokens in one piece, a longer one in windows; the riskiest counts.

    A window has at most `tokens`. With `sentences` it ends where a sentence ends, and only a sentence that is
    longer is cut into windows that share `overlap`; without, all of the message is. Of many windows the
    riskiest is riskier by chance alone, so `discount` x ln(windows) is taken from its log-odds, though never
    so much that a message becomes clear.
    """

    tokens: int
    overlap: int
    whole: int
    sentences: bool
    discount: float = 0.0

    def __post_init__(self) -> None:
        """Refuse what no message can be cut by."""
        if not 0 <= self.overlap < self.tokens <= self.whole:
            raise ValueError("windows need 0 <= overlap < tokens <= whole")
        if not 0.0 <= self.discount < math.inf:
            raise ValueError("a discount is 0 or more")

    def __str__(self) -> str:
        """For people: "windows of 24 tokens (12 shared, by sentences) above 32, discount 0.31"."""
        ends = ", by sentences" if self.sentences else ""
        return (
            f"windows of {self.tokens} tokens ({self.overlap} shared{ends}) above {self.whole}, "
            f"discount {self.discount:g}"
        )


# A prompt asks about all it was given: no shorter window was measured to be better.
PROMPTED: Final = Windowing(tokens=256, overlap=32, whole=256, sentences=False)


class ScoreIdentity(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Two scores of one text are comparable where this is equal, and only there.

    `model` is the digest of all that decides the numbers in a bundle (`Manifest.model`), `precision` the one
    that really runs. `floor` is the risk that a discount of the windowing stops at, 0 where there is none.
    `normalisation` is the version of the second reading of disguised texts (`engine.disguise.variant`).
    Beyond `max_message_tokens` tokens nothing of a message is read.
    """

    model: str
    precision: str
    windowing: Windowing
    floor: float
    normalisation: int
    max_message_tokens: int

    @property
    def digest(self) -> str:
        """64 hex digits, equal where identities are."""
        return hashlib.sha256(msgspec.json.encode(self)).hexdigest()

    @property
    def name(self) -> str:
        """Short, for labels and logs: "bf16-0f3a91c27b5e", the precision and the beginning of `digest`."""
        return f"{self.precision}-{self.digest[:12]}"


def require_fitted(fitted_on: ScoreIdentity, scored_by: ScoreIdentity, calibration: Path) -> None:
    """Raise BundleError where thresholds of the file `calibration` were fitted on other scores than these.

    How much of a long message is read may differ: what is not read to its end is truncated, and never clear.
    """
    found = _differences(fitted_on, scored_by)
    if not found:
        return
    remedies = [f"run `mimamori adapt` again with --precision {scored_by.precision}"]
    if list(found) == ["precision"]:
        remedies.insert(0, f"set precision={fitted_on.precision} (auto takes it where the device has it)")
    raise BundleError(
        f"{calibration}: the thresholds do not hold for these scores, as {'; '.join(found.values())}: "
        f"{', '.join(remedies)}, or set both MIMAMORI_LOWER and MIMAMORI_UPPER to thresholds of your own"
    )


def _differences(fitted: ScoreIdentity, now: ScoreIdentity) -> dict[str, str]:
    """Why thresholds do not hold, by the field that differs."""
    why = {
        "model": "they were fitted on another model (graph, tokenizer, heads or prompt)",
        "precision": f"they were fitted on scores in {fitted.precision}, and {now.precision} runs here",
        "windowing": f"they were fitted on {fitted.windowing}, and messages are read in {now.windowing}",
        "floor": f"they were fitted where a discount stops at {fitted.floor:g}, and here at {now.floor:g}",
        "normalisation": f"they were fitted on texts normalised by version {fitted.normalisation}, "
        f"and this is version {now.normalisation}",
    }
    return {name: said for name, said in why.items() if getattr(fitted, name) != getattr(now, name)}
