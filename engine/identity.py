"""The score identity: one value that holds everything that determines the number a text is scored with.

    ScoreIdentity   model · precision · windowing · floor · normalisation · max_message_tokens · odds ·
                    cascade

The engine makes its identity (`engine.load.identity_of`) and reads messages as it states. Thresholds are
fitted on the scores of one identity, which calibration.json keeps; `require_fitted` refuses them for any
other. The key of the score cache contains `digest`, and labels carry `name`.

The device is not part of the identity, because within one precision every device must match the original
model within the same tolerance (`engine/proof.py`). Neither are the number of threads and the size of a run,
because by the batch law a score does not depend on what is read beside it.
"""

import hashlib
import math
from pathlib import Path
from typing import Final

import msgspec

from engine.errors import BundleError
from engine.odds import Odds

MAX_MESSAGE_TOKENS: Final = 4096  # the default of how many tokens of a message are read


class Windowing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a message is cut: up to `whole` tokens it is read in one piece, a longer one in windows.

    The riskiest window counts. A window has at most `tokens` tokens. With `sentences`, windows end at the end
    of a sentence, and only a sentence longer than a window is cut into windows that share `overlap` tokens;
    without, the whole message is cut so. The more windows a message has, the riskier its riskiest one is by
    chance alone. So `discount` x ln(windows) is subtracted from its log-odds, but never so much that the
    message becomes clear.
    """

    tokens: int
    overlap: int
    whole: int
    sentences: bool
    discount: float = 0.0

    def __post_init__(self) -> None:
        """Refuse sizes by which no message can be cut, and a discount that is negative or infinite."""
        if not 0 <= self.overlap < self.tokens <= self.whole:
            raise ValueError("windows need 0 <= overlap < tokens <= whole")
        if not 0.0 <= self.discount < math.inf:
            raise ValueError("a discount is 0 or more")

    def __str__(self) -> str:
        """Say it in words: "windows of 24 tokens (12 shared, by sentences) above 32, discount 0.31"."""
        ends = ", by sentences" if self.sentences else ""
        return (
            f"windows of {self.tokens} tokens ({self.overlap} shared{ends}) above {self.whole}, "
            f"discount {self.discount:g}"
        )


# A prompt asks about everything in its window, and no shorter window was measured to be better.
PROMPTED: Final = Windowing(tokens=256, overlap=32, whole=256, sentences=False)


class Cascade(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where a message may stop being read: at `depth`, if its risk there is below `stop`.

    All others are read on to the depth `full`, and have the score that it gives them. Depths count layers.
    Both readings give risks on one scale, and a message that stopped is below every `lower` from `stop` on.
    """

    depth: int
    full: int
    stop: float

    def __post_init__(self) -> None:
        """Refuse depths at which nothing can stop, and a stop that is no risk."""
        if not 1 <= self.depth < self.full:
            raise ValueError("a cascade needs 1 <= depth < full")
        if not 0.0 <= self.stop <= 1.0:
            raise ValueError("a cascade needs 0 <= stop <= 1")

    def __str__(self) -> str:
        """Say it in words: "stopping at layer 1 of 16 below 0.212"."""
        return f"stopping at layer {self.depth} of {self.full} below {self.stop:.3g}"


# Without a cascade, an identity is encoded as before there were any: its digest is the same.
class ScoreIdentity(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Two scores of one text can be compared if and only if their identities are equal.

    `model` is the digest of everything in a bundle that determines its scores (`Manifest.model`), `precision`
    the one that really runs. `floor` is the risk below which the windowing's discount takes no message, 0 if
    there is no discount. `normalisation` is the version of the second reading of disguised texts
    (`engine.disguise.variant`). A message is not read beyond `max_message_tokens` tokens. `odds` is None
    where risks are as the heads or the label tokens give them. `cascade` says where reading may stop, None
    where every message is read to the same depth.
    """

    model: str
    precision: str
    windowing: Windowing
    floor: float
    normalisation: int
    max_message_tokens: int
    odds: Odds | None = None
    cascade: Cascade | None = None

    @property
    def digest(self) -> str:
        """64 hex digits, which are equal if and only if the identities are."""
        return hashlib.sha256(msgspec.json.encode(self)).hexdigest()

    @property
    def name(self) -> str:
        """A short name for labels and logs, "bf16-0f3a91c27b5e": the precision and the start of `digest`."""
        return f"{self.precision}-{self.digest[:12]}"


def require_fitted(fitted_on: ScoreIdentity, scored_by: ScoreIdentity, calibration: Path) -> None:
    """Raise BundleError if the thresholds of the file `calibration` were fitted on other scores than these.

    `max_message_tokens` may differ, because a message that is not read to its end is never clear.
    """
    found = _differences(fitted_on, scored_by)
    if not found:
        return
    remedies = [
        f"run `mimamori adapt` again with --precision {scored_by.precision}",
        "or `mimamori calibrate` with it",
    ]
    if list(found) == ["precision"]:
        remedies.insert(0, f"set precision={fitted_on.precision} (auto takes it where the device has it)")
    raise BundleError(
        f"{calibration}: the thresholds do not hold for these scores, as {'; '.join(found.values())}: "
        f"{', '.join(remedies)}, or set both MIMAMORI_LOWER and MIMAMORI_UPPER to thresholds of your own"
    )


def _differences(fitted: ScoreIdentity, now: ScoreIdentity) -> dict[str, str]:
    """Return why the thresholds do not hold: each field that differs, with the reason in words."""
    why = {
        "model": "they were fitted on another model (graph, tokenizer, heads or prompt)",
        "precision": f"they were fitted on scores in {fitted.precision}, and {now.precision} runs here",
        "windowing": f"they were fitted on {fitted.windowing}, and messages are read in {now.windowing}",
        "floor": f"they were fitted where a discount stops at {fitted.floor:g}, and here at {now.floor:g}",
        "cascade": f"they were fitted {_depths(fitted)}, and messages are read {_depths(now)}",
        "normalisation": f"they were fitted on texts normalised by version {fitted.normalisation}, "
        f"and this is version {now.normalisation}",
        "odds": "they were fitted on risks that were restated for another share of messages at risk",
    }
    return {name: said for name, said in why.items() if getattr(fitted, name) != getattr(now, name)}


def _depths(identity: ScoreIdentity) -> str:
    return "to one depth" if identity.cascade is None else str(identity.cascade)
