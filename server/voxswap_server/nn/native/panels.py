"""Where the numbers of a matrix of 8 bits lie, on disk as in memory.

Knows nothing of how they were rounded or of what is computed with them. Columns stand in panels, so that a panel is
read from front to back; within one, four numbers of a column follow each other, as instructions for products of bytes
want them. Each byte is 128 more than its number: such instructions take one side without a sign.
"""

from typing import Final

PANEL: Final = 64
"""Columns that lie together; the last panel is filled up with zeros."""
GROUP: Final = 4
"""Numbers of a column that follow each other; the last group is filled up with zeros."""
GROUP_BYTES: Final = PANEL * GROUP
"""From one group of a column to the next."""
ZERO: Final = 128
"""The byte that stands for it."""


def panel_shape(inputs: int, outputs: int) -> tuple[int, int, int, int]:
    """Of a matrix (inputs, outputs): (panels, groups, PANEL, GROUP)."""
    return -(-outputs // PANEL), -(-inputs // GROUP), PANEL, GROUP
