"""What asking costs: an estimate before anything is sent, and what the endpoint counted afterwards."""

from collections.abc import Sequence
from typing import Final

import msgspec

from engine.errors import SettingsError
from export.baselines.endpoint.answer import Usage
from export.baselines.endpoint.question import Turn
from export.errors import EndpointError

# English has 4 to 5 bytes a token in today's tokenizers and Japanese about 3: more is estimated than is paid.
_BYTES_A_TOKEN: Final = 3
_TOKENS_A_TURN: Final = 5
_MOST_REPORTED: Final = 1 << 40


class Prices(msgspec.Struct, frozen=True):
    """Money per million tokens, in whatever currency, and the most that may be spent."""

    per_million_in: float | None = None
    per_million_out: float | None = None
    most: float | None = None

    def __post_init__(self) -> None:
        """Raises SettingsError: a limit without prices, one price without the other, or a negative one."""
        given = [each for each in (self.per_million_in, self.per_million_out, self.most) if each is not None]
        if any(not 0 <= each < float("inf") for each in given):
            raise SettingsError("prices and --max-cost must be 0 or more")
        if (self.per_million_in is None) != (self.per_million_out is None):
            raise SettingsError("give both prices, --price-in and --price-out, per million tokens")
        if self.most is not None and self.per_million_in is None:
            raise SettingsError("--max-cost needs the prices: give --price-in and --price-out")

    def cost(self, tokens_in: float, tokens_out: float) -> float | None:
        """What so many tokens cost; None without prices."""
        if self.per_million_in is None or self.per_million_out is None:
            return None
        return (tokens_in * self.per_million_in + tokens_out * self.per_million_out) / 1e6


def tokens_of(asked: Sequence[Turn]) -> int:
    """About how many tokens a conversation has, rather too many than too few."""
    return sum(-(-len(turn["content"].encode()) // _BYTES_A_TOKEN) + _TOKENS_A_TURN for turn in asked)


class Bill:
    """Counts what was asked and paid over all draws of examples."""

    def __init__(self, prices: Prices) -> None:
        self.prices = prices
        self.requests = 0
        self.tokens_in = 0
        self.tokens_out = 0

    @property
    def cost(self) -> float | None:
        """What was paid so far; None without prices."""
        return self.prices.cost(self.tokens_in, self.tokens_out)

    @property
    def cost_per_million(self) -> float | None:
        """What a million messages cost at what was paid so far; None without prices or answers."""
        cost = self.cost
        return None if cost is None or not self.requests else cost / self.requests * 1e6

    def announce(self, name: str, new: Sequence[int], waiting: Sequence[int], answer_tokens: int) -> str:
        """One line about what is to be sent to the endpoint `name`: new questions of so many tokens each.

        Raises EndpointError: with what was paid, and what is `waiting` to be sent, it might cost more than
        the limit.
        """
        tokens_in, tokens_out = sum(new), answer_tokens * len(new)
        cost = self.prices.cost(tokens_in, tokens_out)
        line = (
            f"sending {len(new):,} questions to {name}: about {tokens_in:,} tokens, answers of up to "
            f"{tokens_out:,}"
        )
        if cost is None:
            return f"{line}; give --price-in and --price-out to see what that costs"
        before = (self.cost or 0.0) + (self.prices.cost(sum(waiting), answer_tokens * len(waiting)) or 0.0)
        if self.prices.most is not None and before + cost > self.prices.most:
            raise EndpointError(
                f"{len(new):,} questions to {name} may cost {cost:.2f}, after {before:.2f} before them, and "
                f"--max-cost is {self.prices.most:.2f}: nothing more was sent"
            )
        return f"{line}; at most {cost:.2f} at the prices given"

    def settle(self, name: str) -> str:
        """One line about what was asked and paid."""
        line = (
            f"{name} answered {self.requests:,} questions: {self.tokens_in:,} tokens in, "
            f"{self.tokens_out:,} out"
        )
        if self.cost is None or self.cost_per_million is None:
            return line
        return f"{line}; {self.cost:.2f} in all, {self.cost_per_million:,.0f} for a million such questions"

    def add(self, usage: Usage | None, estimate: int, answer_tokens: int) -> None:
        """Count one answered request by what the endpoint reports, else by the estimate.

        Raises EndpointError: it is more than the limit.
        """
        self.requests += 1
        reported = usage is not None and 0 < usage.prompt_tokens < _MOST_REPORTED
        self.tokens_in += usage.prompt_tokens if usage is not None and reported else estimate
        self.tokens_out += (
            min(max(0, usage.completion_tokens), _MOST_REPORTED)
            if usage is not None and reported
            else answer_tokens
        )
        most, cost = self.prices.most, self.cost
        if most is not None and cost is not None and cost > most:
            raise EndpointError(
                f"the endpoint counted more tokens than estimated: {cost:.2f} after {self.requests:,} "
                f"requests, and --max-cost is {most:.2f}; no more were sent"
            )
