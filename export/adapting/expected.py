"""Writes drift.json: what unlabelled traffic looks like to the bundle that was just made.

Labelled examples cannot stand for the stream. Half of them are at risk and few of the stream's messages are,
so that a comparison with them would find a shift for ever. Weighted to the stream's own share at risk they
are too few: by chance alone 25 examples give a PSI of 0.36 in ten bins. So a bundle adapted without traffic
has no drift.json.
"""

from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from engine.bundle import DRIFT, Bundle, write_manifest
from engine.contract import Engine
from engine.drift import Noted, expect
from engine.scores import Scores

MOST: Final = 1000  # messages; by chance alone their PSI is below 0.02 in ten bins
_CHUNK: Final = 100


def write_expected(
    bundle: Bundle, engine: Engine, traffic: Sequence[str], progress: Callable[[str, int, int], None]
) -> str:
    """Read up to 1,000 messages of the traffic as a worker does; write drift.json and the manifest again.

    Returns the bundle's new fingerprint. The traffic is in random order.
    """
    texts = traffic[:MOST]
    noted: list[Noted] = []
    for start in range(0, len(texts), _CHUNK):
        progress("note what the traffic looks like", start, len(texts))
        chunk = texts[start : start + _CHUNK]
        noted += [_noted(text, scores) for text, scores in zip(chunk, engine.read(chunk), strict=True)]
    progress("note what the traffic looks like", len(texts), len(texts))
    content = msgspec.json.format(msgspec.json.encode(expect(noted)), indent=2)
    (bundle.path / DRIFT).write_bytes(content + b"\n")
    return write_manifest(bundle.path, bundle.manifest)


def _noted(text: str, scores: Scores) -> Noted:
    foreign = scores.language is not None
    return Noted(scores.risk, scores.windows, scores.truncated, foreign, scores.obfuscated, len(text))
