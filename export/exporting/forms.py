"""The forms that attention over a shared prefix can take in the graph: same results, different speeds.

    joined   the scores over prefix and own tokens are concatenated for one softmax, then split again
    merged   each part is computed alone, without a row of scores that spans both, and merged at the end

`joined` is the plain form and works for any scores. `merged` saves the passes over `[B, heads, L, P + L]`,
lets a runtime keep the scores over the prefix in its cache, and folds the batch into one large product with
the prefix, which pays for long prefixes. Export measures which form a bundle gets
(`export.exporting.fastest`).

Merging (after online softmax, Milakov and Gimelshein 2018, arXiv:1805.02867): let g be a second copy of the
prefix's first key, with a value of its own that is 1 in an extra column. An ordinary softmax over [g, prefix]
then gives o = sum(e^s v) / (e^s_g + Z) and, in that column, c = e^s_g / (e^s_g + Z), so Z / e^s_g is
(1 - c) / c. Over the own tokens, whose highest score is m, n = sum(e^(s - m) v) and N = sum(e^(s - m)) are
brought to the same scale by r = e^(m - s_g), and the attention is (o + c r n) / (1 - c + c r N). As g is one
of the prefix's keys, c is at most 1/2, so nothing cancels. If another key of the prefix scores so far above g
(some 87) that c becomes 0, the own tokens cannot be weighed, and the answer is not-a-number, never a wrong
number.
"""

from collections.abc import Callable
from typing import Final, Literal, NamedTuple

import torch

Form = Literal["joined", "merged"]
FORMS: Final[tuple[Form, ...]] = ("joined", "merged")

# The value is finite in fp16 as well, so that a mask still works after the graph is cast to a smaller
# precision. exp(x + BLOCKED) is exactly 0 for any score x that attention can reach.
BLOCKED: Final = float(torch.finfo(torch.float16).min)

# c r is computed in two steps, because r alone can exceed what float32 and bf16 hold (e^88) while c r does
# not. Own tokens that reach these bounds outweigh the prefix beyond any rounding, and e^30 e^50 is finite.
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
        """The scores of scaled queries `[B, kv_heads, groups * L, head_dim]`, first capped, then masked."""
        scores = cap(queries @ self.keys.transpose(-1, -2))
        return scores if self.mask is None else scores + self.mask


def joined(queries: torch.Tensor, prefix: Part, own: Part, cap: Cap) -> torch.Tensor:
    """One softmax over both parts.

    The result is `[B, kv_heads, groups * L, head_dim]`, as the queries are.
    """
    weights = torch.cat((prefix.scores(queries, cap), own.scores(queries, cap)), dim=-1).softmax(dim=-1)
    shared = prefix.keys.shape[2]
    return weights[..., :shared] @ prefix.values + weights[..., shared:] @ own.values


def merged(queries: torch.Tensor, prefix: Part, own: Part, cap: Cap) -> torch.Tensor:
    """Compute both parts separately and merge them, measured against the prefix's first key.

    It takes no mask on the prefix.
    """
    kv_heads, head_dim = int(queries.shape[1]), int(queries.shape[3])
    stacked = queries.shape[2]
    # While the prefix itself is computed there is no prefix yet, and its first token is the first own token.
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
    # The queries of all rows meet the one prefix as one matrix: [1, kv_heads, B * groups * L, head_dim].
    folded = queries.transpose(0, 1).reshape(1, kv_heads, -1, head_dim)
    over = cap(folded @ keys.transpose(-1, -2)).softmax(dim=-1) @ values
    over = over.reshape(kv_heads, -1, stacked, head_dim + 1).transpose(0, 1)
    share = over[..., head_dim:]
    level = cap(folded @ measure.transpose(-1, -2)).reshape(kv_heads, -1, stacked, 1).transpose(0, 1)
    scores = own.scores(queries, cap)
    highest = scores.amax(dim=-1, keepdim=True)
    summed = (scores - highest).exp() @ torch.cat((own.values, torch.ones_like(own.values[..., :1])), dim=-1)
    half = ((highest - level) / 2).clamp(max=_HALF).exp()
    # share / share is 1, or not-a-number where share is 0.
    weight = (share * half).clamp(max=_FIRST) * half * (share / share)
    total = (1 - share) + weight * summed[..., head_dim:]
    return (over[..., :head_dim] + weight * summed[..., :head_dim]) / total
