"""The forms that attention over a shared prefix can take in the graph: the same numbers, other speeds.

    joined   scores over prefix and own tokens concatenated, one softmax, cut apart again
    merged   each part by itself, without a row of scores that spans both; merged at the end

`joined` is plain and holds for any scores. `merged` saves the passes over `[B, heads, L, P + L]`, lets a
runtime keep the scores over the prefix in its cache, and folds the batch into one large product with the
prefix: worth it for long prefixes. Which one a bundle has is measured at export (`export.exporting.fastest`).

Merging (after online softmax, Milakov and Gimelshein 2018, arXiv:1805.02867): let g be the prefix's first
key, once more, with a value of its own that is 1 in an extra column. An ordinary softmax over [g, prefix]
then gives o = sum(e^s v) / (e^s_g + Z) and, in that column, c = e^s_g / (e^s_g + Z), so Z / e^s_g is
(1 - c) / c. Over the own tokens, whose highest score is m, n = sum(e^(s - m) v) and N = sum(e^(s - m)) are
brought to the same measure by r = e^(m - s_g), and the attention is (o + c r n) / (1 - c + c r N). As g is
one of the prefix's keys, c is at most 1/2: nothing cancels. Where another key of the prefix scores so far
above g (some 87) that c is 0, the own tokens cannot be weighed, and the answer is not a number, not wrong.
"""

from collections.abc import Callable
from typing import Final, Literal, NamedTuple

import torch

Form = Literal["joined", "merged"]
FORMS: Final[tuple[Form, ...]] = ("joined", "merged")

# Finite in fp16 as well, so that casting the graph to a smaller precision keeps the mask a mask;
# exp(x + BLOCKED) is exactly 0 for any score x that attention can reach.
BLOCKED: Final = float(torch.finfo(torch.float16).min)

# c r is made in two steps, since r alone can exceed what float32 and bf16 hold (e^88) while c r does not.
# Own tokens that reach these bounds outweigh the prefix beyond any rounding, and e^30 e^50 is finite.
_HALF: Final = 50.0
_FIRST: Final = 1e13

Cap = Callable[[torch.Tensor], torch.Tensor]


class Part(NamedTuple):
    """Keys and values that queries attend to, and what to add to the scores.

    `keys` and `values` are `[1 or B, kv_heads, K, head_dim]`; `mask` is `[groups * L, K]` or `[B, 1, 1, K]`.
    """

    keys: torch.Tensor
    values: torch.Tensor
    mask: torch.Tensor | None

    def scores(self, queries: torch.Tensor, cap: Cap) -> torch.Tensor:
        """Scores of scaled queries `[B, kv_heads, groups * L, head_dim]`, capped and then masked."""
        scores = cap(queries @ self.keys.transpose(-1, -2))
        return scores if self.mask is None else scores + self.mask


def joined(queries: torch.Tensor, prefix: Part, own: Part, cap: Cap) -> torch.Tensor:
    """One softmax over both parts; `[B, kv_heads, groups * L, head_dim]`, as the queries."""
    weights = torch.cat((prefix.scores(queries, cap), own.scores(queries, cap)), dim=-1).softmax(dim=-1)
    shared = prefix.keys.shape[2]
    return weights[..., :shared] @ prefix.values + weights[..., shared:] @ own.values


def merged(queries: torch.Tensor, prefix: Part, own: Part, cap: Cap) -> torch.Tensor:
    """Both parts apart, merged by the measure of the prefix's first key. Takes no mask on the prefix."""
    kv_heads, head_dim = int(queries.shape[1]), int(queries.shape[3])
    stacked = queries.shape[2]
    # Without a prefix, while it is made itself, its first token is the first of the own ones.
    measure = torch.cat((prefix.keys, own.keys[:1, :, :1]), dim=2)[:, :, :1]
    keys = torch.cat((measure, prefix.keys), dim=2)
    nothing = torch.zeros_like(measure)
    values = torch.cat(
        (
            torch.cat((nothing, torch.ones_like(measure[..., :1])), dim=-1),
            torch.cat((prefix.values, torch.zeros_like(prefix.values[..., :1])), dim=-1),
        ),
        dim=2,
    )
    # All rows' queries meet the one prefix as one matrix: [1, kv_heads, B * groups * L, head_dim].
    folded = queries.transpose(0, 1).reshape(1, kv_heads, -1, head_dim)
    over = cap(folded @ keys.transpose(-1, -2)).softmax(dim=-1) @ values
    over = over.reshape(kv_heads, -1, stacked, head_dim + 1).transpose(0, 1)
    share = over[..., head_dim:]
    level = cap(folded @ measure.transpose(-1, -2)).reshape(kv_heads, -1, stacked, 1).transpose(0, 1)
    scores = own.scores(queries, cap)
    highest = scores.amax(dim=-1, keepdim=True)
    summed = (scores - highest).exp() @ torch.cat((own.values, torch.ones_like(own.values[..., :1])), dim=-1)
    half = ((highest - level) / 2).clamp(max=_HALF).exp()
    # share / share is 1, or not a number.
    weight = (share * half).clamp(max=_FIRST) * half * (share / share)
    total = (1 - share) + weight * summed[..., head_dim:]
    return (over[..., :head_dim] + weight * summed[..., :head_dim]) / total
