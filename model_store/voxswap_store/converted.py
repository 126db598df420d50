"""What a translation of upstream's tensors returns.

Knows nothing of any network: `layout_t2s`, `layout_sovits` and `layout_assets` know the names, this is only the shape
of their answer.
"""

from dataclasses import dataclass
from typing import Any

from torch import Tensor


@dataclass(frozen=True)
class Converted:
    """Tensors under our own names, ready to be written, and what the network must know to adopt them."""

    tensors: dict[str, Tensor]
    """In the order in which the network adopts them: the file is read front to back."""
    config: dict[str, Any]
    """Every dimension that the network needs; plain JSON values only."""
