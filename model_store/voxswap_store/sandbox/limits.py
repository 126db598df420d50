"""How much a checkpoint may ask for.

Knows nothing of why: the numbers leave room for the largest file of the family (a 1.3 GB text encoder, 1,001 tensors)
several times over, and stop what only an attack needs.
"""

from dataclasses import dataclass

MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one reading."""

    file_bytes: int = 4096 * MIB
    """The file itself."""
    pickle_bytes: int = 16 * MIB
    """The description of the tensors inside it."""
    members: int = 20_000
    """Entries of the zip."""
    tensors: int = 20_000
    dimensions: int = 8
    """Of one tensor."""
    opcodes: int = 1_000_000
    """Steps of the pickle."""
    depth: int = 64
    """Levels of nesting of the values."""
    nodes: int = 200_000
    """Values that are not tensors, counted as often as they are reached."""
    text_chars: int = 4096
    """Of one string."""
    expansion: float = 2.0
    """Bytes written per byte read: shared storages may be stored once and used twice, not a thousand times."""
    extra_memory_bytes: int = 512 * MIB
    """Beside the mapped file itself."""
    cpu_s: int = 120
    wall_s: float = 300.0

    def __post_init__(self) -> None:
        if min(self.file_bytes, self.pickle_bytes, self.members, self.tensors, self.depth, self.cpu_s) < 1:
            raise ValueError("every limit is at least 1")
