"""Products of matrices in single precision on the CPU, by the faster of the two libraries that PyTorch has.

PyTorch gives them to MKL, which was made for another maker's processors: on an AMD one with AVX-512, oneDNN takes less
than half the time, and with AVX2 five sixths (docs/BENCHMARKS.md). The sums are the same up to rounding. Elsewhere
(a GPU, other precisions, training) all of this is PyTorch's own way. Knows nothing of networks.

oneDNN compiles for every number of rows and keeps what it compiled, so whoever has many lengths rounds them up.
"""

from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

FEWEST_ROWS: Final = 32
"""Below, weights are put in order for longer than they are multiplied."""
_ONEDNN: Final = hasattr(torch.ops.mkldnn, "_linear_pointwise")


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None, *, gelu: bool = False) -> Tensor:
    """As `F.linear`, and GELU in its approximation by tanh if asked: (..., K), (N, K) -> (..., N)."""
    if _by_onednn(x, weight) and x.numel() >= FEWEST_ROWS * x.shape[-1]:
        return _product(x.contiguous(), weight, bias, gelu=gelu)
    y = F.linear(x, weight, bias)
    return F.gelu(y, approximate="tanh") if gelu else y


def attention(q: Tensor, k: Tensor, v: Tensor, keys: int) -> Tensor:
    """Softmax attention over the first `keys` of the keys, the others are filling: (B, H, T, D), 2 (B, H, S, D).

    Returns:
        (B, T, H * D)
    """
    # Few queries are left to PyTorch: their number would make oneDNN compile for every pair of lengths.
    if _by_onednn(q, k) and q.shape[2] == k.shape[2] >= FEWEST_ROWS:
        return _head_by_head(q, k, v, keys)
    mixed = F.scaled_dot_product_attention(q, k[:, :, :keys], v[:, :, :keys])
    return mixed.transpose(1, 2).flatten(2)


class Linear(nn.Linear):
    """As PyTorch's."""

    def forward(self, x: Tensor) -> Tensor:
        """(..., in) -> (..., out)."""
        return linear(x, self.weight, self.bias)


class GeluLinear(nn.Linear):
    """With GELU (tanh) behind it."""

    def forward(self, x: Tensor) -> Tensor:
        """(..., in) -> (..., out)."""
        return linear(x, self.weight, self.bias, gelu=True)


def _head_by_head(q: Tensor, k: Tensor, v: Tensor, keys: int) -> Tensor:
    B, H, T, D = q.shape
    q, k, v = q * D**-0.5, k.contiguous(), v.transpose(-1, -2).contiguous()
    mixed = q.new_empty(B, T, H, D)
    for row in range(B):
        for head in range(H):
            scores = _product(q[row, head].contiguous(), k[row, head], None)
            scores[:, keys:] = -torch.inf
            mixed[row, :, head] = _product(scores.softmax(-1), v[row, head], None)
    return mixed.flatten(2)


def _by_onednn(x: Tensor, weight: Tensor) -> bool:
    single = x.dtype == weight.dtype == torch.float32 and x.device.type == "cpu"
    learning = torch.is_grad_enabled() and (x.requires_grad or weight.requires_grad)
    return _ONEDNN and single and not learning


def _product(x: Tensor, weight: Tensor, bias: Tensor | None, *, gelu: bool = False) -> Tensor:
    """Of contiguous tensors: for others oneDNN may fall back to its reference, which takes seconds."""
    after = ("gelu", "tanh") if gelu else ("none", "")
    made: Tensor = torch.ops.mkldnn._linear_pointwise(x, weight.contiguous(), bias, after[0], [], after[1])  # noqa: SLF001 - PyTorch's compiler calls it so
    return made
