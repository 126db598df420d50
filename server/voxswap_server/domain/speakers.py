"""Who is heard in a recording, and whose voice is like it.

Knows nothing of the network that tells.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class SpeakerMatch:
    voice_id: str
    similarity: float
    """Cosine, -1 to 1."""


class SpeakerEmbedder(Protocol):
    """Who is heard: ECAPA speaker embeddings. Audio is a whole file as bytes."""

    async def embed(self, audio: bytes) -> Sequence[float]:
        """Unit-length speaker embedding.

        Raises:
            AssetMissing: no ECAPA weights are installed.
            BadReferenceAudio: not readable, or shorter than half a second.
        """
        ...

    async def compare(self, first: bytes, second: bytes) -> float:
        """Cosine similarity of the two speakers."""
        ...

    async def find_voices(self, audio: bytes, *, limit: int) -> Sequence[SpeakerMatch]:
        """Voices of the store by falling similarity of their reference audio."""
        ...
