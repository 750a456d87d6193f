"""How often `mimamori canary` errs under hourly looks, and how long it takes: docs/benchmarks/canary.md.

    python -m bench.canary [--streams 1000] [--hours 336]

Simulated streams of 2,000 messages an hour, of which one in twenty is at risk, more by day than by night. A
canary with a share sends people so many times as much as the bundle that runs. Each hour somebody asks
whether it may go on, and stops at the first yes; beside it, a plain one-sided test at every look. Only the
test of what is sent to people is simulated: no decisions, and no dead letters.
"""

import argparse
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from export.comparing.sequential import evidence_above, evidence_below, shown
from mimamori.canary import CONFIDENCE, LEAST, MARGIN, REASONS

AN_HOUR: Final = 2000
AT_RISK: Final = 0.05
Z: Final = 1.6449  # one-sided, 5 %

Counts = NDArray[np.integer[Any]]


def streams(share: float, ratio: float, number: int, hours: int) -> tuple[Counts, Counts, Counts]:
    """Until each hour: the canary's messages, what it sent to people, and what the other sent."""
    chance = np.random.default_rng(7)
    rate = AT_RISK * (1 + 0.8 * np.sin(np.arange(hours) / 24 * 2 * np.pi))
    mine = chance.binomial(AN_HOUR, share, (number, hours))
    new, old = chance.binomial(mine, rate * ratio), chance.binomial(AN_HOUR - mine, rate)
    return mine.cumsum(1), new.cumsum(1), old.cumsum(1)


def first(says: list[bool]) -> int | None:
    """The first look that says so."""
    return says.index(True) if True in says else None


def row(share: float, ratio: float, number: int, hours: int) -> str:
    """One line of the table."""
    error = 1 - CONFIDENCE
    mine, new, old = streams(share, ratio, number, hours)
    went, stopped, took, plain = 0, 0, [], 0
    odds = share / (1 - share) * (1 - MARGIN)
    for messages, found, others in zip(mine, new, old, strict=True):
        pairs = list(zip(found.tolist(), others.tolist(), strict=True))
        go = first(
            [
                count >= LEAST and shown(evidence_above(*pair, share, 1 - MARGIN), error)
                for count, pair in zip(messages, pairs, strict=True)
            ]
        )
        stop = first([shown(evidence_below(*pair, share, 1), error / REASONS) for pair in pairs])
        if stop is not None and (go is None or stop <= go):
            stopped += 1
        elif go is not None:
            went += 1
            took.append(int(messages[go]))
        total = found + others
        expected = total * odds / (1 + odds)
        plain += bool(((found - expected > Z * np.sqrt(expected / (1 + odds))) & (messages >= LEAST)).any())
    median = f"{np.median(took):,.0f}" if took else "-"
    return (
        f"| {share:.0%} | {ratio:.2f} | {went / number:.1%} | {stopped / number:.1%} | {median} "
        f"| {plain / number:.1%} |"
    )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--streams", type=int, default=1000)
    parser.add_argument("--hours", type=int, default=336, help="of looks: two weeks")
    given = parser.parse_args()
    print(
        "| share | sends | go on | stop | messages of its own until go on, median | go on by a plain test |"
    )
    print("|---|---|---|---|---|---|")
    for share in (0.05, 0.25):
        for ratio in (1.1, 1.0, 0.9, 0.8, 0.6):
            print(row(share, ratio, given.streams, given.hours), flush=True)


if __name__ == "__main__":
    main()
