"""Semantic tokens: the codebook, and which of its vectors a piece of content is nearest to.

Knows nothing of HuBERT, whose features it is given, nor of the decoders, which look its vectors up.
"""

from torch import Tensor


def nearest(content: Tensor, codebook: Tensor) -> Tensor:
    """Tokens of content vectors, by euclidean distance.

    Args:
        content: (T, D).
        codebook: (tokens, D).

    Returns:
        (T,) long
    """
    # Written as upstream has it (EuclideanCodebook.quantize): what rounding does to near ties is then the same.
    distance = content.square().sum(1, keepdim=True) - 2 * content @ codebook.T + codebook.square().sum(1)
    return (-distance).argmax(1)
